"""How any service of the mesh boots and talks; it knows nothing of what they are about.

- `settings`, `boot`, `logs`: reading the environment, starting and stopping a process.
- `errors`, `call`, `capability`, `policy`, `audit`, `interceptor`, `server`, `channel`:
  gRPC in and out.
- `database`, `migration`: one durable store per service, SQLite or PostgreSQL through the same code.
- `outbox`, `inbox`, `jetstream`, `consumer`: messages out and in, at least once.
"""
