/** A server on a free port that answers as it is told to, and remembers what it was asked. */

import { createServer } from "node:http";
import { once } from "node:events";

export const VIN = "KMHSH81C7LU123456";
export const DOOR = `/api/v1/remotecontrol/vehicles/${VIN}/door`;

/**
 * Start it for a test. `answers` are functions (request, response, asked) for the requests in their order; the last one answers
 * all that follow. Returns {baseUrl, asked}: of each request its method, path, headers and body.
 */
export async function server(test, ...answers) {
  const asked = [];
  const http = createServer(async (request, response) => {
    const pieces = [];
    for await (const piece of request) pieces.push(piece);
    const text = Buffer.concat(pieces).toString();
    const seen = { method: request.method, path: request.url, headers: request.headers, body: text ? JSON.parse(text) : undefined };
    asked.push(seen);
    const answer = answers[Math.min(asked.length, answers.length) - 1];
    await answer(request, response, seen);
  });
  http.listen(0, "127.0.0.1");
  await once(http, "listening");
  test.after(() => {
    http.closeAllConnections();
    http.close();
  });
  return { baseUrl: `http://127.0.0.1:${http.address().port}`, asked };
}

/** Answers with JSON. */
export const json = (status, body, headers = {}) => (request, response) => {
  const kind = status >= 400 ? "application/problem+json" : "application/json";
  response.writeHead(status, { "Content-Type": kind, "X-Correlation-ID": request.headers["x-correlation-id"], ...headers });
  response.end(JSON.stringify(body));
};

/** Answers with a problem document. */
export const problem = (status, code, members = {}, headers = {}) =>
  json(status, { type: "about:blank", title: code, status, detail: `${code} it is.`, code, ...members }, headers);

/** Takes the request, and cuts the connection. */
export const cut = (request, response) => response.socket.destroy();

/** Answers with an event stream: the text, and then ends, stays open, or breaks. */
export const stream = (text, { then = "end" } = {}) => (request, response) => {
  response.writeHead(200, { "Content-Type": "text/event-stream" });
  response.write(text, () => {
    if (then === "end") response.end();
    else if (then === "break") response.socket.destroy();
  });
};

export const accepted = (more = {}) => ({
  commandId: "cmd-1", vin: VIN, status: "PENDING", message: "Command received", estimatedDuration: 5, correlationId: "c-1", ...more,
});

export const details = (status, more = {}) => ({
  ...accepted({ status }), action: "UNLOCK", targetDoors: ["all"], source: "MOBILE_APP", stages: [], doorResults: [], ...more,
});

export const event = (id, data, type = "DOOR_STATUS_UPDATE") =>
  `id: ${id}\nevent: ${type}\ndata: ${JSON.stringify({ type, vin: VIN, timestamp: "2026-01-12T14:30:00.000Z", data })}\n\n`;

/** The error that this rejects with. */
export async function failure(promise) {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error("it did not fail");
}
