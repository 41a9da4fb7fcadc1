import { expect, test } from "bun:test"
import { createSocket } from "node:dgram"
import { once } from "node:events"
import { existsSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { refusal } from "@ovms/testkit/disks.ts"
import { until } from "@ovms/testkit/until.ts"
import { ChosenPorts } from "./chosen-ports.ts"
import { assertApart, overlap } from "./clash.ts"
import { forwardText, parseForward, parseFurther, type WantedForward } from "./forward.ts"
import { NetworkLink } from "./link.ts"
import { randomMac } from "./mac.ts"
import { openPorts } from "./open-ports.ts"
import { findPasst, passtArguments } from "./passt.ts"
import { leadsOut } from "./way-out.ts"

const LOCAL = { protocol: "tcp", address: "127.0.0.1" } as const
const NOTHING = { mac: "02:00:00:00:00:01", forwards: [] } as const

test("MAC addresses are locally administered, of one station, and differ", () => {
  const all = Array.from({ length: 200 }, randomMac)
  expect(new Set(all).size).toBe(200)
  for (const mac of all) expect(mac).toMatch(/^[0-9a-f][26ae](:[0-9a-f]{2}){5}$/)
})

test.each([
  ["8080:80", { ...LOCAL, host: 8080, guest: 80 }],
  ["80", { ...LOCAL, guest: 80 }],
  ["0:80", { ...LOCAL, guest: 80 }],
  [":80", { ...LOCAL, guest: 80 }],
  ["5353:53/udp", { ...LOCAL, protocol: "udp", host: 5353, guest: 53 }],
  ["0.0.0.0:8080:80/tcp", { ...LOCAL, address: "0.0.0.0", host: 8080, guest: 80 }],
  ["192.0.2.1::80", { ...LOCAL, address: "192.0.2.1", guest: 80 }],
  ["[::1]:8080:80", { ...LOCAL, address: "::1", host: 8080, guest: 80 }],
] as const)("-p %s", (text, forward) => {
  expect(parseForward(text)).toEqual(forward)
})

test.each([
  ["", "it is not [ADDRESS:]HOST:GUEST"],
  ["8080:", "it is not"],
  ["a:80", "it is not"],
  ["8080:80/sctp", "it is not"],
  ["8000-8010:80", "a range"],
  ["8080:80-90", "a range"],
  ["65536:80", "65536 is no port"],
  ["80:65536", "65536 is no port"],
  ["80:0", "no port 0"],
  ["localhost:8080:80", '"localhost" is no IPv4 address'],
  ["::1:8080:80", "it is not"],
  ["[127.0.0.1]:8080:80", "is no IPv4 address"],
  ["8080:80 --map-gw", "it is not"],
  ["[::ffff:127.0.0.1]:8080:80", "::ffff:127.0.0.1 is an IPv4 address written as one of IPv6"],
  ["[::FFFF:7f00:1]:8080:80", "is an IPv4 address written as one of IPv6"],
  ["224.0.0.1:8080:80", "224.0.0.1 is a multicast address"],
  ["239.255.255.250:1900:1900/udp", "is a multicast address"],
  ["[ff02::1]:8080:80", "ff02::1 is a multicast address"],
  ["255.255.255.255:8080:80", "is the broadcast address"],
])("-p %s is refused", (text, reason) => {
  expect(() => parseForward(text)).toThrow(expect.objectContaining({ code: "OVM_USAGE" }))
  expect(() => parseForward(text)).toThrow(reason)
})

test("one port more than a machine has is refused as it is read", () => {
  let all: readonly WantedForward[] = []
  const read = () => {
    for (let port = 1; port <= 65536; port++) all = parseFurther(`${port}`, all)
  }
  expect(read).toThrow("port 65: a machine has 64 ports at most")
  expect(all).toHaveLength(64)
})

test("a forward in words", () => {
  expect(forwardText({ ...LOCAL, host: 8080, guest: 80 })).toBe("127.0.0.1:8080->80/tcp")
  expect(forwardText({ protocol: "udp", address: "::1", host: 53, guest: 53 })).toBe("[::1]:53->53/udp")
})

test("free ports are found, each another one, and those that are said are kept (OVMS-API-252)", async () => {
  const [said] = await openPorts([{ ...LOCAL, guest: 1 }])
  const host = said?.host ?? 0
  const opened = await openPorts([
    { ...LOCAL, guest: 80 },
    { ...LOCAL, guest: 81 },
    { ...LOCAL, host, guest: 82 },
  ])
  expect(opened.find(({ guest }) => guest === 82)?.host).toBe(host)
  expect(new Set(opened.map(({ host }) => host)).size).toBe(3)
})

test("a port in use is refused by its name, TCP and UDP, and where it is asked for twice (OVMS-API-255)", async () => {
  const server = createServer().listen(0, "127.0.0.1")
  await once(server, "listening")
  const { port } = server.address() as AddressInfo
  const taken = await refusal(openPorts([{ ...LOCAL, host: port, guest: 80 }]))
  expect([taken.code, taken.message]).toEqual([
    "OVM_PORT_IN_USE",
    expect.stringContaining(`127.0.0.1:${port}`),
  ])
  setTimeout(() => server.close(), 100)
  expect(await openPorts([{ ...LOCAL, host: port, guest: 80 }], { patienceMs: 5000 })).toHaveLength(1)

  const socket = createSocket("udp4").bind(0, "127.0.0.1")
  await once(socket, "listening")
  const udp = { ...LOCAL, protocol: "udp", host: socket.address().port, guest: 53 } as const
  expect((await refusal(openPorts([udp]))).code).toBe("OVM_PORT_IN_USE")
  socket.close()
  const twice = { ...LOCAL, host: port, guest: 80 }
  expect((await refusal(openPorts([twice, { ...twice, guest: 81 }]))).code).toBe("OVM_PORT_IN_USE")
})

test("an address that is not this host's is refused", async () => {
  // The last one is an address of an interface that is not said.
  for (const address of ["192.0.2.77", "2001:db8::77", "fe80::1"]) {
    const foreign = { ...LOCAL, address, host: 8080, guest: 80 }
    expect((await refusal(openPorts([foreign]))).code).toBe("OVM_UNSUPPORTED")
  }
})

test("a free port that was chosen a moment ago is given to nobody else, though it is not open yet", async () => {
  const chosen = new ChosenPorts()
  const [first] = await openPorts([{ ...LOCAL, guest: 80 }], { take: (port) => chosen.take(port) })
  if (!first) throw new Error("no port was tried")
  expect(chosen.take({ ...first, guest: 81 })).toBe(false)
  expect(chosen.take({ ...first, protocol: "udp" })).toBe(true)
  // The system gives whatever is free: here somebody else has been given the first three.
  let asked = 0
  expect(await openPorts([{ ...LOCAL, guest: 80 }], { take: () => ++asked > 3 })).toHaveLength(1)
  expect(asked).toBe(4)
})

test("passt never maps the gateway to the host's loopback (OVMS-MAN-108)", () => {
  const forwards = [
    { ...LOCAL, host: 8080, guest: 80 },
    { protocol: "udp", address: "::1", host: 5353, guest: 53 },
  ] as const
  const argv = passtArguments(forwards)
  expect(argv).toContain("--no-map-gw")
  expect(argv.join(" ")).toContain("-t 127.0.0.1/8080:80 -u ::1/5353:53")
})

const at = (address: string, host: number | undefined, guest = 80, protocol: "tcp" | "udp" = "tcp") => ({
  protocol,
  address,
  guest,
  ...(host !== undefined && { host }),
})

test("passt is given 0.0.0.0 and [::] as one: apart it takes them for the same port", () => {
  const argv = (...forwards: ReturnType<typeof at>[]) =>
    passtArguments(forwards as Parameters<typeof passtArguments>[0])
      .join(" ")
      .replace(" --pid /proc/self/fd/1", "")
  expect(argv(at("0.0.0.0", 8080), at("127.0.0.1", 81), at("0:0::0", 8080))).toContain(
    "--no-map-gw -t 8080:80 -t 127.0.0.1/81:80 --fd",
  )
  expect(argv(at("0.0.0.0", 8080), at("::", 8081))).toContain("-t 0.0.0.0/8080:80 -t ::/8081:80")
})

test.each([
  ["127.0.0.1 and 0.0.0.0", [at("127.0.0.1", 8080), at("0.0.0.0", 8080, 81)]],
  ["two addresses", [at("127.0.0.1", 8080), at("127.0.0.2", 8080)]],
  ["two families", [at("127.0.0.1", 8080), at("::1", 8080)]],
  ["twice the same", [at("127.0.0.1", 8080), at("127.0.0.1", 8080)]],
  ["every address, and two ports of the guest", [at("0.0.0.0", 8080), at("::", 8080, 81)]],
  ["every address, and one more", [at("0.0.0.0", 8080), at("::", 8080), at("::1", 8080)]],
] as const)("one port of the host is refused twice, by both names: %s (OVMS-API-252)", (_, wanted) => {
  const last = wanted.at(-1)
  const named = `${last?.address.includes(":") ? `[${last.address}]` : last?.address}:8080->${last?.guest}/tcp`
  expect(() => assertApart(wanted)).toThrow(expect.objectContaining({ code: "OVM_REQUEST_INVALID" }))
  expect(() => assertApart(wanted)).toThrow(named)
  expect(() => assertApart(wanted)).toThrow(`${wanted[0].address}:8080->80/tcp`)
})

test("ports of one machine that passt opens together", () => {
  for (const wanted of [
    [at("0.0.0.0", 8080), at("::", 8080), at("0.0.0.0", 8080, 80, "udp")],
    [at("127.0.0.1", undefined), at("127.0.0.1", undefined), at("127.0.0.1", 8080)],
  ])
    expect(() => assertApart(wanted)).not.toThrow()
})

test("two machines' ports, on addresses that are the same or every one", () => {
  expect(overlap(at("127.0.0.1", 80), at("0.0.0.0", 80))).toBe(true)
  expect(overlap(at("::1", 80), at("0:0:0:0:0:0:0:1", 80, 81))).toBe(true)
  expect(overlap(at("127.0.0.1", 80), at("127.0.0.2", 80))).toBe(false)
  expect(overlap(at("0.0.0.0", 80), at("::", 80))).toBe(false)
  expect(overlap(at("127.0.0.1", 80), at("127.0.0.1", 80, 80, "udp"))).toBe(false)
  expect(overlap(at("127.0.0.1", undefined), at("127.0.0.1", undefined))).toBe(false)
})

test.skipIf(!findPasst())(
  "passt opens every address as one, and says which port it cannot open",
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
    using _ = { [Symbol.dispose]: () => rmSync(folder, { recursive: true }) }
    const [{ host } = { host: 0 }] = await openPorts([{ ...LOCAL, guest: 80 }])
    const start = async (...forwards: readonly ReturnType<typeof at>[]) => {
      using link = new NetworkLink(findPasst() ?? "", folder)
      await link.start({ mac: randomMac(), forwards } as Parameters<typeof link.start>[0])
    }
    // Nobody holds the VMM's end any more once it has started: it ends at once.
    if (leadsOut(6)) await start(at("0.0.0.0", host), at("::", host))
    const server = createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    const { port } = server.address() as AddressInfo
    const error = await refusal(start(at("127.0.0.1", port)))
    server.close()
    expect([error.code, error.message]).toEqual(["OVM_PORT_IN_USE", `port 127.0.0.1:${port} (tcp) is in use`])
  },
)

test("passt is found on PATH, as a program only", () => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
  try {
    writeFileSync(join(folder, "passt"), "")
    expect(findPasst({ PATH: folder })).toBeUndefined()
    rmSync(join(folder, "passt"))
    symlinkSync("/bin/true", join(folder, "passt"))
    expect(findPasst({ PATH: `/nowhere:${folder}` })).toBe(join(folder, "passt"))
    expect(findPasst({})).toBeUndefined()
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("a passt that does not start is told in its own words", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
  try {
    for (const [words, code] of [
      ["Couldn't create user namespace", "OVM_HOST_FAILED"],
      ["Failed to bind port 80 (Address already in use) for option '-t'", "OVM_PORT_IN_USE"],
    ] as const) {
      const program = join(folder, "passt")
      writeFileSync(program, `#!/bin/sh\necho "${words}" >&2\nexit 1\n`, { mode: 0o755 })
      using link = new NetworkLink(program, folder)
      const error = await refusal(link.start(NOTHING))
      expect([error.code, error.message]).toEqual([code, expect.stringContaining(words)])
    }
    using link = new NetworkLink(join(folder, "gone"), folder)
    expect((await refusal(link.start(NOTHING))).code).toBe("OVM_HOST_FAILED")
  } finally {
    rmSync(folder, { recursive: true })
  }
})

const alone = ["unshare", "--map-root-user", "--net"]
const noPasst =
  !findPasst() || Bun.spawnSync([...alone, "true"]).exitCode !== 0
    ? "(skipped: it needs passt and unshare)"
    : ""
test.skipIf(noPasst !== "")(
  `a passt that finds no addresses on its host is given some (OVMS-MAN-112) ${noPasst}`,
  async () => {
    const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
    try {
      const program = join(folder, "passt")
      const inside = `ip link set lo up && exec ${findPasst()} "$@"`
      writeFileSync(program, `#!/bin/sh\nexec ${alone.join(" ")} sh -c '${inside}' sh "$@"\n`, {
        mode: 0o755,
      })
      for (const forwards of [[], [{ ...at("127.0.0.1", 80), host: 18480 }]]) {
        const pids: number[] = []
        using link = new NetworkLink(program, folder)
        await link.start({ ...NOTHING, forwards, onStay: (pid) => pids.push(pid) })
        expect(pids).toHaveLength(2)
      }
    } finally {
      rmSync(folder, { recursive: true })
    }
  },
)

test("a passt that hangs is ended as soon as it is let go of, with all of its processes", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
  try {
    const program = join(folder, "passt")
    const pids = join(folder, "pids")
    writeFileSync(
      program,
      `#!/bin/sh\nsleep 600 &\necho $$ $! > ${pids}.new\nmv ${pids}.new ${pids}\nwait\n`,
      {
        mode: 0o755,
      },
    )
    const link = new NetworkLink(program, folder)
    const starting = refusal(link.start(NOTHING))
    await until("it has started", async () => existsSync(pids), { is: (there) => there })
    link[Symbol.dispose]()
    const error = await starting
    expect([error.code, error.message]).toEqual(["OVM_HOST_FAILED", expect.stringContaining("did not start")])
    for (const pid of readFileSync(pids, "utf8").trim().split(" "))
      await until(`process ${pid} is gone`, async () => isAlive(Number(pid)), { is: (alive) => !alive })
  } finally {
    rmSync(folder, { recursive: true })
  }
})

test("a passt that hangs is given 10 s, whoever else holds its pipe", async () => {
  const folder = mkdtempSync(join(tmpdir(), "ovm-passt-"))
  try {
    const program = join(folder, "passt")
    writeFileSync(program, "#!/bin/sh\necho stuck >&2\nsleep 600\n", { mode: 0o755 })
    using link = new NetworkLink(program, folder)
    const error = await refusal(link.start(NOTHING))
    expect([error.code, error.message]).toEqual([
      "OVM_HOST_FAILED",
      expect.stringMatching(/passt did not start \(not within 10 s\): stuck/),
    ])
  } finally {
    rmSync(folder, { recursive: true })
  }
})

/** A process that nobody has waited for yet is none. */
function isAlive(pid: number): boolean {
  try {
    return !/^State:\s+Z/m.test(readFileSync(`/proc/${pid}/status`, "utf8"))
  } catch {
    return false
  }
}
