import { expect, test } from "bun:test"
import { refusal } from "@ovms/testkit/disks.ts"
import type { Instance } from "./instance.ts"
import {
  assertMayHave,
  assertPortsFree,
  honoured,
  newNetwork,
  nothingOffered,
  sameNetwork,
  shownNetwork,
} from "./network.ts"

const USER = { network: "user" } as const
const NONE = { network: "none" } as const
const plain = { schemaVersion: 1, mediaType: "", name: "a" } as never as Parameters<typeof newNetwork>[1]
const saying = (network: typeof plain.network) => ({ ...plain, network }) as typeof plain

test.each([
  ["the operator's", {}, [plain, NONE], "none"],
  ["the manifest's before that", {}, [saying([{ mode: "user" }]), NONE], "user"],
  ["the start's before both", { network: { mode: "none" } }, [saying([{ mode: "user" }]), USER], "none"],
] as const)("the mode is %s (OVMS-MAN-104)", async (_, overrides, [manifest, defaults], mode) => {
  expect(await newNetwork(overrides, manifest, defaults)).toMatchObject({
    mode,
    forwards: [],
    outbound: true,
  })
})

test("what a manifest offers is opened only if asked for, and not twice (OVMS-MAN-107, OVMS-API-253)", async () => {
  const manifest = saying([{ mode: "user", ports: [{ guest: 80 }, { guest: 53, protocol: "udp" }] }])
  expect((await newNetwork({}, manifest, USER)).forwards).toEqual([])
  const network = { offered: true, ports: [{ guest: 80 }, { guest: 81 }] }
  const { forwards } = await newNetwork({ network }, manifest, USER)
  expect(forwards.map(({ guest, protocol }) => `${guest}/${protocol}`).sort()).toEqual([
    "53/udp",
    "80/tcp",
    "81/tcp",
  ])
  for (const { address, host } of forwards) {
    expect(address).toBe("127.0.0.1")
    expect(host).toBeGreaterThan(0)
  }
})

test("that there is nothing to open is said, where it was asked for (OVMS-API-263)", () => {
  const offering = saying([{ mode: "user", ports: [{ guest: 80 }] }])
  expect(nothingOffered({ network: { offered: true } }, plain)).toHaveLength(1)
  expect(nothingOffered({ network: { offered: true } }, saying([{ mode: "user" }]))).toHaveLength(1)
  expect(nothingOffered({ network: { offered: true } }, offering)).toEqual([])
  expect(nothingOffered({}, plain)).toEqual([])
})

test("each new machine has a MAC address of its own; one that is started again keeps it (OVMS-MAN-106, OVMS-API-258)", async () => {
  const one = await newNetwork({ network: { ports: [{ guest: 80 }] } }, plain, USER)
  expect((await newNetwork({}, plain, USER)).mac).not.toBe(one.mac)
  const shown = shownNetwork({ network: one } as never)
  expect(await sameNetwork(shown)).toEqual(one)
})

test("what a guest may connect to is said as networks, also when it is started again (OVMS-API-260)", async () => {
  const network = { allow: ["10.1.0.0/16", "192.0.2.7:443", "2001:db8::1", "[fd00::/8]:80"] }
  const one = await newNetwork({ network }, plain, USER)
  expect(one.allowed).toEqual([
    { network: "10.1.0.0/16" },
    { network: "192.0.2.7/32", port: 443 },
    { network: "2001:db8::1/128" },
    { network: "fd00::/8", port: 80 },
  ])
  expect(await sameNetwork(shownNetwork({ network: one } as never), { network })).toEqual(one)
})

test.each([
  [["127.0.0.1"], "is opened to no guest"],
  [["127.9.0.0/16:80"], "is opened to no guest"],
  [["[::1]:80"], "is opened to no guest"],
  [["::ffff:10.0.0.1"], "is opened to no guest"],
  [["224.0.0.251"], "is opened to no guest"],
  [["10.0.0.0/33"], "has no prefix from 0 to 32"],
  [["10.0.0.0/"], "has no prefix"],
  [["example.org/24"], "is no network, address or name"],
  [["10.0.0"], "is no network, address or name"],
  [["example.org:0"], "has no port: 0"],
  [["example.org:65536"], "has no port: 65536"],
  [["fd00::1]:80"], "is no network"],
  [["a b"], "is no network"],
  [[""], "is no network"],
])("what is to be allowed and cannot be is refused: %p (OVMS-API-260)", async (allow, why) => {
  const error = await refusal(newNetwork({ network: { allow } }, plain, USER))
  expect([error.code, error.message]).toEqual(["OVM_REQUEST_INVALID", expect.stringContaining(why)])
  expect(error.message).toContain(JSON.stringify(allow[0]))
})

test("a list of what is allowed needs a way out, and names public addresses (OVMS-API-260, OVMS-API-262)", async () => {
  for (const network of [{ outbound: false }, { mode: "none" }] as const) {
    const error = await refusal(newNetwork({ network: { ...network, allow: ["10.0.0.0/8"] } }, plain, USER))
    expect(error.code).toBe("OVM_REQUEST_INVALID")
  }
  const error = await refusal(newNetwork({ network: { allow: ["localhost:80"] } }, plain, USER))
  expect([error.code, error.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("localhost")])
})

test("ports need a network, and an address is one (OVMS-API-252, OVMS-API-256)", async () => {
  const ports = [{ guest: 80 }]
  expect(() => assertMayHave(1, "none")).toThrow(expect.objectContaining({ code: "OVM_UNSUPPORTED" }))
  const none = await refusal(newNetwork({ network: { mode: "none", ports } }, plain, USER))
  expect([none.code, none.message]).toEqual(["OVM_UNSUPPORTED", expect.stringContaining("ports")])
  const name = { ports: [{ guest: 80, address: "dead.beef" }] }
  expect((await refusal(newNetwork({ network: name }, plain, USER))).code).toBe("OVM_REQUEST_INVALID")
  const offered = saying([{ mode: "user", ports: Array.from({ length: 64 }, (_, n) => ({ guest: n + 1 })) }])
  const many = { network: { offered: true, ports: [{ guest: 1000 }] } }
  expect((await refusal(newNetwork(many, offered, USER))).code).toBe("OVM_TOO_MANY")
})

test.each([
  ["multicast", [{ guest: 80, host: 8080, address: "224.0.0.1" }], "224.0.0.1"],
  ["IPv4 within IPv6", [{ guest: 80, host: 8080, address: "::ffff:127.0.0.1" }], "::ffff:127.0.0.1"],
  [
    "one port twice",
    [
      { guest: 80, host: 8080 },
      { guest: 81, host: 8080, address: "0.0.0.0" },
    ],
    "127.0.0.1:8080->80/tcp and 0.0.0.0:8080->81/tcp",
  ],
])(
  "what passt would not open is refused before there is an instance: %s (OVMS-API-252)",
  (_, ports, words) => {
    const check = () => assertPortsFree(new Map(), "new", { network: { ports } })
    expect(check).toThrow(expect.objectContaining({ code: "OVM_REQUEST_INVALID" }))
    expect(check).toThrow(words)
  },
)

test("of two starts with one port the second is refused, until the first has ended (OVMS-API-255)", () => {
  const overrides = { network: { ports: [{ guest: 80, host: 8080 }] } }
  const instances = (state: string, info = {}) =>
    new Map([["one", { id: "one", state, info, request: { overrides } } as unknown as Instance]])
  const inUse = expect.objectContaining({ code: "OVM_PORT_IN_USE" })
  for (const state of ["starting", "running", "paused", "stopping"])
    expect(() => assertPortsFree(instances(state), "two", overrides)).toThrow(inUse)
  expect(() => assertPortsFree(instances("running"), "two", overrides)).toThrow("127.0.0.1:8080")
  assertPortsFree(instances("stopped"), "two", overrides)
  assertPortsFree(instances("running"), "one", overrides)
  assertPortsFree(instances("running"), "two", { network: { ports: [{ guest: 80 }] } })

  const shown = {
    mode: "user",
    ports: [{ protocol: "tcp", address: "0.0.0.0", host: 9090, guest: 80 }],
  } as const
  const free = { network: { ports: [{ guest: 1, host: 9090 }] } }
  expect(() => assertPortsFree(instances("running", { network: shown }), "two", free)).toThrow(inUse)
  const again = () =>
    assertPortsFree(
      instances("running", { network: shown }),
      "two",
      {},
      { ...shown, ports: [...shown.ports] },
    )
  expect(again).toThrow(inUse)
})

test("a VMM that has no way out is not said to have one (OVMS-API-257)", async () => {
  const plan = { network: await newNetwork({}, plain, USER) } as never as Parameters<typeof shownNetwork>[0]
  const finding = { pointer: "/network/outbound", severity: "degraded", reason: "there is none" } as const
  expect(shownNetwork(honoured(plan, [finding]))).toMatchObject({ mode: "user", outbound: false })
  expect(shownNetwork(honoured(plan, []))).toMatchObject({ mode: "user", outbound: true })
  expect(shownNetwork({} as never)).toEqual({ mode: "none" })
  const allow = ["10.0.0.0/8", "192.0.2.7:443"]
  const listed = { network: await newNetwork({ network: { allow } }, plain, USER) } as never
  expect(shownNetwork(listed)).toMatchObject({ outbound: true, allow })
})
