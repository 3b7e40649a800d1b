"""The unit's connection to the broker, over NATS or MQTT. It carries bytes, and knows nothing of what is in them."""
