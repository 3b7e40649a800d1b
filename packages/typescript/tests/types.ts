/** What the types let through and what they do not: compiled by a test, never run. */

import { type DoorEvent, Doors, DoorsError } from "@ecarus/doors";

const doors = new Doors({ baseUrl: "https://doors.example", token: async ({ expired }) => (expired ? "new" : "old") });
const vin = "KMHSH81C7LU123456";

export async function calls(): Promise<void> {
  const { data, status } = await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/status", { path: { vin } });
  const locked: boolean | undefined = data.doors?.driver?.locked;
  const offered = await doors.request("POST", "/api/v1/remotecontrol/vehicles/{vin}/door/grants", {
    path: { vin },
    body: { principal: "user-9", kind: "VALET" },
  });
  const state: string = offered.data.state;
  const removed = await doors.request("DELETE", "/api/v1/remotecontrol/notifications/devices/{deviceId}", { path: { deviceId: "phone" } });
  const table: string = (await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/failures.csv", { path: { vin } })).data;
  void [locked, status, state, removed.data.devices, table];

  const result = await doors.unlock(vin, { doors: ["driver", "rearLeft"], mode: "EMERGENCY", wait: 30 });
  if (result.status === "FAILED") console.log(result.failureReason, result.guidance);

  // @ts-expect-error: no such path
  await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/windows", { path: { vin } });
  // @ts-expect-error: no such method of this path
  await doors.request("PUT", "/api/v1/remotecontrol/vehicles/{vin}/door/status", { path: { vin } });
  // @ts-expect-error: the path's parameter is missing
  await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/status", {});
  // @ts-expect-error: the body is missing
  await doors.request("POST", "/api/v1/remotecontrol/vehicles/{vin}/door/unlock", { path: { vin } });
  // @ts-expect-error: a word that is none
  await doors.unlock(vin, { doors: ["sunroof"] });
  // @ts-expect-error: a query parameter that is none
  await doors.history(vin, { colour: "red" });
  // @ts-expect-error: a status has no body
  await doors.request("GET", "/api/v1/remotecontrol/vehicles/{vin}/door/status", { path: { vin }, body: {} });
}

export function told(event: DoorEvent): string {
  switch (event.type) {
    case "DOOR_STATUS_UPDATE":
      return `${event.data.doorId} ${event.data.locked}`;
    case "COMMAND_STATUS_UPDATE":
      return `${event.data.commandId} ${event.data.status}`;
    case "SYSTEM_ALERT":
      return `${event.data.code} ${event.data.severity}`;
  }
}

export function why(error: unknown): boolean {
  return error instanceof DoorsError && error.mayHaveSucceeded;
}
