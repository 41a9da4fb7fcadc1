import { expect, test } from "bun:test"
import type { InstanceInfo } from "../../runtime/interfaces.ts"
import { serverOf } from "./server.ts"

const MACHINE: InstanceInfo = {
  instance_id: "6f1d2c3b-4a59-4687-9a0b-c1d2e3f40516",
  name: "web",
  state: "running",
  image: { reference: "debian:13" },
  resources: {},
  timings_ms: {},
  warnings: [],
  created: "2025-09-29T10:00:01.250Z",
}
const PORT = { protocol: "tcp", address: "0.0.0.0", host: 2222, guest: 22 } as const

test("a machine is logged in to by its port, or by its own address in a network of the host", () => {
  expect(serverOf({ ...MACHINE, network: { mode: "user", ports: [PORT] } })).toEqual({
    address: "127.0.0.1",
    port: 2222,
  })
  expect(serverOf({ ...MACHINE, network: { mode: "bridge", name: "lab", address: "10.208.0.7" } })).toEqual({
    address: "10.208.0.7",
    port: 22,
  })
  expect(() => serverOf({ ...MACHINE, network: { mode: "user", ports: [] } })).toThrow("no port of this host")
})
