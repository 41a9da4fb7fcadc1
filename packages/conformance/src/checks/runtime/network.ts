import { createSocket } from "node:dgram"
import { createConnection, createServer } from "node:net"
import { isDeepStrictEqual } from "node:util"
import { must, skip } from "../../check.ts"
import { errorOf } from "../../subject/answers.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import { eventsOf } from "./events.ts"
import { type Plan, refusedCreate } from "./plan.ts"
import { takePort } from "./take-port.ts"

const PORTS = "POST /instances/{instance_id}/ports"
const LESS_PORTS = "DELETE /instances/{instance_id}/ports"

/** A port of this host that is taken as long as `use` takes. */
async function withTakenPort(use: (port: number) => Promise<void>): Promise<void> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve))
  try {
    await use((server.address() as { port: number }).port)
  } finally {
    await new Promise((resolve) => server.close(resolve))
  }
}

/** A port that nobody has, near enough. */
async function freePort(): Promise<number> {
  let free = 0
  await withTakenPort(async (port) => {
    free = port
  })
  return free
}

function asking(runtime: Runtime, network: object, manifest = runtime.guest) {
  return { manifest, overrides: { network } }
}

async function networkOf(runtime: Runtime, id: string): Promise<NonNullable<Instance["network"]>> {
  const { network } = await runtime.status(id)
  must(network, "the instance has no network")
  return network
}

export const networkPlans: readonly Plan[] = [
  {
    name: "network/interfaces",
    covers: ["OVMS-API-250", "OVMS-API-251", "OVMS-API-257", "OVMS-MAN-104", "OVMS-MAN-106"],
    async run({ runtime, create, machine }) {
      const [first, second] = [await create(), await create({ network: { mode: "user" } })]
      const macs = []
      for (const id of [first, second]) {
        const { mode, mac, outbound, ports } = await networkOf(runtime, id)
        must(mode === "user", `the mode is ${mode}, and not user`)
        must(/^.[26ae](:[0-9a-f]{2}){5}$/.test(mac ?? ""), `${mac} is no MAC address of local administration`)
        must(typeof outbound === "boolean" && Array.isArray(ports), "outbound or ports is missing")
        macs.push(mac)
      }
      must(macs[0] !== macs[1], `two machines have the MAC address ${macs[0]}`)
      const none = await machine({ document: { network: [{ mode: "none" }] } })
      must(
        (await networkOf(runtime, await create({}, none))).mode === "none",
        "the manifest's mode is not taken",
      )
      const asked = await networkOf(runtime, await create({ network: { mode: "user" } }, none))
      must(asked.mode === "user", "the mode of the start is not taken")
      const shut = await networkOf(runtime, await create({ network: { mode: "user", outbound: false } }))
      must(shut.outbound === false, "outbound that the start has as false is not told")
      const without = await networkOf(runtime, await create({ network: { mode: "none" } }))
      must(without.mode === "none" && without.mac === undefined, "a machine of mode none has an interface")
    },
  },
  {
    name: "network/odd-ports",
    covers: ["OVMS-API-252", "OVMS-API-260"],
    async run({ runtime, create }) {
      const port = await freePort()
      const asked = (...ports: readonly object[]) => asking(runtime, { mode: "user", ports })
      const one = { guest: 80, host: port }
      const refused = [
        asked(one, { guest: 81, host: port }),
        asked(one, one),
        asked(one, { ...one, address: "127.0.0.2" }),
        ...["224.0.0.1", "240.0.0.1", "255.255.255.255", "ff02::1", "::ffff:127.0.0.1", "1.2.3"].map(
          (address) => asked({ guest: 80, address }),
        ),
        asking(runtime, { mode: "user", outbound: false, allow: ["192.0.2.1"] }),
        asking(runtime, { mode: "none", allow: ["192.0.2.1"] }),
        ...["127.0.0.1", "0.0.0.0/8", "224.0.0.0/4", "::1", "ff00::/8", "1.2.3.4:0", "1.2.3.4/33"].map(
          (allow) => asking(runtime, { mode: "user", allow: [allow] }),
        ),
      ]
      for (const body of refused) await refusedCreate(runtime, "OVM_REQUEST_INVALID", body)
      const both = [one, { ...one, guest: 53, protocol: "udp" }]
      const { ports } = await networkOf(runtime, await create({ network: { mode: "user", ports: both } }))
      must(ports?.length === 2, `of one port of TCP and one of UDP there are ${ports?.length}`)
    },
  },
  {
    name: "network/refused-ports",
    covers: ["OVMS-API-255", "OVMS-API-256", "OVMS-ERR-007"],
    async run({ runtime, create }) {
      const ports = (host: number) => ({ mode: "user", ports: [{ guest: 80, host }] })
      await withTakenPort(async (port) => {
        await refusedCreate(runtime, "OVM_PORT_IN_USE", asking(runtime, ports(port)))
      })
      const free = await freePort()
      await create({ network: ports(free) })
      const none = { mode: "none", ports: [{ guest: 80 }] }
      const { detail } = await refusedCreate(runtime, "OVM_UNSUPPORTED", asking(runtime, none))
      const named = Array.isArray(detail) && detail.some(({ pointer }) => /ports/.test(pointer))
      must(named, `detail does not name the ports: ${JSON.stringify(detail)}`)
    },
  },
  {
    name: "network/offered-ports",
    covers: ["OVMS-MAN-107", "OVMS-API-253", "OVMS-API-263"],
    async run({ runtime, create, machine }) {
      const two = [{ guest: 80 }, { guest: 53, protocol: "udp" }]
      const several = await machine({ document: { network: [{ mode: "user", ports: two }] } })
      const named = { offered: true, ports: [{ guest: 80, address: "127.0.0.2" }] }
      const { ports = [] } = await networkOf(runtime, await create({ network: named }, several))
      const shown = ports.map(({ guest, address, protocol }) => `${address} ${guest}/${protocol}`).join()
      must(
        shown === "127.0.0.2 80/tcp,127.0.0.1 53/udp",
        `of one port that is named and two offered: ${shown}`,
      )
      const offers = await machine({ document: { network: [{ mode: "user", ports: [{ guest: 80 }] }] } })
      const closed = await networkOf(runtime, await create({}, offers))
      must(closed.ports?.length === 0, "a port that a manifest offers is open, and nobody asked for it")
      const open = await networkOf(runtime, await create({ network: { offered: true } }, offers))
      must(open.ports?.[0]?.guest === 80, "a port that is offered and asked for is not there")
      const { warnings } = await runtime.status(await create({ network: { offered: true } }))
      const plain = (await runtime.status(await create())).warnings
      const said = warnings.some((words) => /port/.test(words) && !plain.includes(words))
      must(said, `no warning says that the manifest offers no port: ${warnings.join("; ")}`)
    },
  },
  {
    name: "network/ports-of-the-made",
    covers: ["OVMS-API-230", "OVMS-API-265", "OVMS-API-266", "OVMS-API-267"],
    async run({ runtime, create }) {
      const id = await create({ network: { mode: "user" } })
      const before = (await eventsOf(runtime, id)).length
      const port = await runtime.ask<{ host: number; guest: number; address?: string; protocol?: string }>(
        PORTS,
        id,
        {
          body: { guest: 8080 },
        },
      )
      must(port.guest === 8080 && port.host > 0, `the port is ${JSON.stringify(port)}`)
      for (const name of ["address", "protocol"] as const) must(port[name], `the port has no ${name}`)
      const listed = async () => (await networkOf(runtime, id)).ports ?? []
      must(
        (await listed()).some(({ host }) => host === port.host),
        "the port that was added is not listed",
      )
      await runtime.refused(PORTS, "OVM_PORT_IN_USE", id, { body: { guest: 81, host: port.host } })
      await withTakenPort(async (taken) => {
        await runtime.refused(PORTS, "OVM_PORT_IN_USE", id, { body: { guest: 81, host: taken } })
      })
      await runtime.ask(LESS_PORTS, id, { query: `host=${port.host}` })
      must((await listed()).length === 0, "the port that was taken back is listed")
      await runtime.refused(LESS_PORTS, "OVM_PORT_UNKNOWN", id, { query: `host=${port.host}` })
      const told = (await eventsOf(runtime, id)).slice(before)
      const listings = told.map(({ type, ports = [] }) => `${type} ${ports.map(({ guest }) => guest).join()}`)
      must(listings.join() === "ports 8080,ports ", `the events say ${listings.join()}`)
      const none = await create({ network: { mode: "none" } })
      await runtime.refused(PORTS, "OVM_UNSUPPORTED", none, { body: { guest: 80 } })
    },
  },
  {
    name: "network/open-ports",
    covers: ["OVMS-API-252", "OVMS-API-254", "OVMS-API-257", "OVMS-API-258", "OVMS-API-259", "OVMS-API-265"],
    async run({ runtime, boot, create }) {
      const ports = [{ guest: 80 }, { guest: 53, protocol: "udp" }, { guest: 81, address: "127.0.0.2" }]
      const id = await boot("", { network: { mode: "user", outbound: false, ports } })
      const before = await networkOf(runtime, id)
      const [port, ...others] = before.ports ?? []
      must(port, "the port is not listed")
      for (const [at, asked] of ports.entries()) {
        const { host, ...rest } = before.ports?.[at] ?? { host: 0 }
        const wanted = { protocol: "tcp", address: "127.0.0.1", ...asked }
        must(host > 0 && isDeepStrictEqual(rest, wanted), `a port is ${JSON.stringify(before.ports?.[at])}`)
      }
      must(!(await boundByUdp(others[0]?.host ?? 0)), "anybody can have the port of UDP that is open")
      must(
        await letIn(others[1]?.host ?? 0, "127.0.0.2"),
        "the port is not open on the address that was asked for",
      )
      const body = { guest: 80, host: port.host }
      const other = await create()
      await runtime.refused(PORTS, "OVM_PORT_IN_USE", other, { body })
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 0 } })
      await runtime.reaches(id, "stopped")
      await withPort(port.host)
      await runtime.ask("POST /instances/{instance_id}/start", id)
      await runtime.reaches(id, "running")
      const after = await networkOf(runtime, id)
      must(after.mac === before.mac, "a machine that was started again has another MAC address")
      must(
        isDeepStrictEqual(after, before),
        `a machine that was started again has the network ${JSON.stringify(after)}, not ${JSON.stringify(before)}`,
      )
      const added = await runtime.raw("POST", `/instances/${id}/ports`, { body: { guest: 82 } })
      if (added.status >= 400) return must(errorOf(PORTS, added).code === "OVM_UNSUPPORTED", added.text)
      must(await letIn(JSON.parse(added.text).host), "the port that was added is not open")
    },
  },
  {
    name: "network/ports-of-the-stopping",
    covers: ["OVMS-API-268"],
    async run({ runtime, boot }) {
      const id = await boot("", { network: { mode: "user", ports: [{ guest: 80 }] } })
      const host = (await networkOf(runtime, id)).ports?.[0]?.host
      await runtime.ask("POST /stop", "", { body: { instance_id: id, grace_ms: 600_000 } })
      await runtime.refused(PORTS, "OVM_STATE_CONFLICT", id, { body: { guest: 81 } })
      await runtime.refused(LESS_PORTS, "OVM_STATE_CONFLICT", id, { query: `host=${host}` })
    },
  },
  {
    name: "network/port-that-is-given-back",
    covers: ["OVMS-API-274"],
    async run({ runtime, boot }) {
      const id = await boot("", { network: { mode: "user", ports: [{ guest: 80 }] } })
      const host = (await networkOf(runtime, id)).ports?.[0]?.host ?? 0
      const { held } = await runtime.ask<{ held?: boolean }>(LESS_PORTS, id, { query: `host=${host}` })
      const warned = async () =>
        (await runtime.status(id)).warnings.some((words) => words.includes(String(host)))
      if (held !== true) {
        await withPort(host)
        must(!(await warned()), "a warning is about a port that anybody can have")
        return
      }
      must(await warned(), "no warning says that the port cannot be had by others")
      await runtime.until(
        "whoever connects to the port that was given back is let go",
        async () => !(await letIn(host)),
      )
      await runtime.ask(PORTS, id, { body: { guest: 80, host } })
      must(!(await warned()), "a warning is about a port that is open again")
      must((await networkOf(runtime, id)).ports?.[0]?.host === host, "the port is not open again")
    },
  },
  {
    name: "network/names-without-addresses",
    covers: ["OVMS-API-257", "OVMS-API-262"],
    async run({ runtime, keep }) {
      // Who refuses every list has not looked at the name.
      const allow = ["192.0.2.1", "198.51.100.0/24:443"]
      const body = asking(runtime, { mode: "user", allow })
      const { status, text } = await runtime.raw("POST", "/instances", { body })
      if (status >= 400) return skip("the runtime has no lists of addresses here: allow is refused")
      const told = (await networkOf(runtime, keep(JSON.parse(text).instance_id))).allow
      must(isDeepStrictEqual(told, allow), `allow is told as ${JSON.stringify(told)}`)
      await refusedCreate(
        runtime,
        "OVM_UNSUPPORTED",
        asking(runtime, { mode: "user", allow: ["nothing.invalid"] }),
      )
    },
  },
  {
    name: "network/of-the-host",
    covers: ["OVMS-NET-004", "OVMS-NET-010"],
    async run({ runtime }) {
      const name = "suite-has-no-such-network"
      await refusedCreate(runtime, "OVM_NETWORK_UNKNOWN", asking(runtime, { name }))
      await refusedCreate(runtime, "OVM_REQUEST_INVALID", asking(runtime, { name, mode: "user" }))
      await refusedCreate(
        runtime,
        /^OVM_(UNSUPPORTED|NETWORK_UNKNOWN)$/,
        asking(runtime, { name, ports: [{ guest: 1 }] }),
      )
    },
  },
]

/** Fails unless this port can be had within a minute. */
async function withPort(port: number): Promise<void> {
  const server = await takePort(port)
  server?.close()
  must(server, `the port ${port} is still taken although the machine has ended`)
}

/** Whether this port of UDP can be had. */
function boundByUdp(port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createSocket("udp4")
    socket.on("error", () => resolve(false))
    socket.bind(port, "127.0.0.1", () => socket.close(() => resolve(true)))
  })
}

/** Whether a connection to this port is still there after a moment. */
function letIn(port: number, host = "127.0.0.1"): Promise<boolean> {
  return new Promise((resolve) => {
    const socket = createConnection({ port, host })
    const settle = (found: boolean) => {
      socket.destroy()
      resolve(found)
    }
    socket.on("error", () => settle(false))
    socket.on("close", () => settle(false))
    socket.on("connect", () => setTimeout(() => settle(true), 1000))
  })
}
