// biome-ignore-all lint/suspicious/noTemplateCurlyInString: variables of the files that are read
import { expect, test } from "bun:test"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { OvmError } from "../errors.ts"
import { parseDotenv } from "./dotenv.ts"
import { durationOf } from "./duration.ts"
import { interpolate } from "./interpolate.ts"
import { inOrder } from "./order.ts"
import { dependenciesOf } from "./project.ts"
import { readProject } from "./read.ts"

const read = (text: string, environment: Record<string, string> = {}) =>
  readProject("/srv/shop/machines.yaml", Buffer.from(text), { environment })

/** The message of the only fault, or of all. */
async function faults(text: string, environment: Record<string, string> = {}): Promise<string[]> {
  const thrown = await read(text, environment).then(
    () => undefined,
    (thrown) => thrown,
  )
  expect(thrown).toBeInstanceOf(OvmError)
  expect(thrown.code).toBe("OVM_COMPOSE_INVALID")
  const detail = thrown.detail as { pointer: string; line: number; message: string }[]
  expect(thrown.message).toStartWith(`/srv/shop/machines.yaml:${detail[0]?.line}: `)
  return detail.map(
    ({ line, pointer, message }) => `${line} ${pointer} ${message.replace(`line ${line}: `, "")}`,
  )
}

const machines = (text: string) => `machines:\n${text.replaceAll(/^/gm, "  ")}`

test("what is right is read: lists, conditions, aliases, the folder's name", async () => {
  const project = await read(
    `volumes: { data: { size: 1GiB } }\n${machines(`
db: &base { image: a:1, volumes: [data:ro], ports: [80, "127.0.0.1::81/udp"] }
cache: *base
web: { image: a:1, depends_on: [db] }
api: { image: a:1, restart: no, depends_on: { web: {}, db: { condition: service_started } } }
`)}`,
  )
  expect(project.name).toBe("shop")
  expect(Object.keys(project.machines)).toEqual(["db", "cache", "web", "api"])
  expect([...dependenciesOf(project.machines.api ?? { image: "" })]).toEqual([
    ["web", "service_started"],
    ["db", "service_started"],
  ])
  expect(project.machines.api?.restart).toBe("no")
  expect(project.machines.cache?.image).toBe("a:1")
})

test("unknown keys are told with their line and the nearest known one, all at once", async () => {
  const found = await faults(
    "nmae: shop\nmachines:\n  web:\n    image: a:1\n    prots: [80]\n    resources:\n      memroy: 1GiB\n      speed: 3\n",
  )
  expect(found).toEqual([
    '1 /nmae there is no key "nmae" here; did you mean name?',
    '5 /machines/web/prots there is no key "prots" here; did you mean ports?',
    '7 /machines/web/resources/memroy there is no key "memroy" here; did you mean memory?',
    '8 /machines/web/resources/speed there is no key "speed" here',
  ])
})

test.each([
  ["two machines of one name", "web: { image: a }\nweb: { image: b }", /^3 .*unique/],
  [
    "a circle",
    "a: { image: x, depends_on: [b] }\nb: { image: x, depends_on: [c] }\nc: { image: x, depends_on: [a] }",
    /^2 \/machines\/a\/depends_on .*a → b → c → a$/,
  ],
  ["itself", "a: { image: x, depends_on: [a] }", /a → a$/],
  [
    "a machine that is not there",
    "web: { image: x, depends_on: [bd] }\ndb: { image: x }",
    /no machine "bd" in this file; did you mean db\?$/,
  ],
  [
    "the environment of nothing",
    "web: { image: x, environment: [A=b] }",
    /environment it is of a command, and the machine has none$/,
  ],
  [
    "a command without an agent",
    "web: { image: x, agent: false, command: [make] }",
    /command it is run by the agent/,
  ],
  ["a folder without a place", "web: { image: x, volumes: [./src] }", /volumes\/0 \.\/src is not HOST:GUEST/],
  [
    "two folders at one place",
    "web: { image: x, volumes: [./a:/src, ./b:/src:ro] }",
    /volumes\/1 there is another one at \/src$/,
  ],
  [
    "a folder without an agent",
    "web: { image: x, agent: false, volumes: [./a:/src] }",
    /volumes\/0 a folder is mounted by the agent/,
  ],
  ["a network that is not there", "web: { image: x, networks: [bcak] }", /no network "bcak" in this file$/],
  ["two networks", "web: { image: x, networks: [a, b] }", /\/machines\/web\/networks .*1/],
  [
    "a volume that is not there",
    "web: { image: x, volumes: [date] }",
    /^2 \/machines\/web\/volumes\/0 there is no volume "date"/,
  ],
  ["a folder", 'web: { image: x, volumes: ["data:/srv"] }', /a volume is a disk/],
  ["no image", "web: {}", /^2 \/machines\/web\/image it is missing$/],
  [
    "a condition without a check",
    "web: { image: x, depends_on: { db: { condition: service_healthy } } }\ndb: { image: x }",
    /db has no healthcheck/,
  ],
  [
    "a word for a condition",
    "web: { image: x, depends_on: { db: { condition: healthy } } }\ndb: { image: x }",
    /one of service_started, .*not "healthy"$/,
  ],
  [
    "what never completes",
    "web: { image: x, depends_on: { db: { condition: service_completed_successfully } } }\ndb: { image: x, restart: always }",
    /never completed/,
  ],
  [
    "two checks",
    "web: { image: x, healthcheck: { log: a, ready: true } }",
    /one of tcp, http, exec, log, ready, not 2/,
  ],
  ["no check", "web: { image: x, healthcheck: { interval: 1s } }", /not 0 of them/],
  [
    "a port that is not open",
    "web: { image: x, ports: [80/udp], healthcheck: { tcp: 80 } }",
    /port 80 of the guest is not in ports/,
  ],
  [
    "one port twice",
    'web: { image: x, ports: ["8080:80"] }\ndb: { image: x, ports: ["8080:1"] }',
    /^3 \/machines\/db\/ports\/0 .*web has 127.0.0.1:8080/,
  ],
  ["no port", "web: { image: x, ports: [eighty] }", /^2 \/machines\/web\/ports\/0 port eighty: it is not/],
  [
    "no size",
    "web: { image: x, resources: { memory: 512MB } }",
    /"512MB" is not allowed here: A number with/,
  ],
  ["no duration", "web: { image: x, healthcheck: { ready: true, interval: 10 } }", /must be string/],
  ["a machine's name", '"../x": { image: x }', /"..\/x" is no name for it/],
  [
    "documents in place of each other",
    "web: { image: x, config: { meta_data: a, hostname: b } }",
    /stands in place of hostname/,
  ],
  ["a tag", "web: !!js/function { image: x }", /tag/i],
  ["a merge", "a: &a { image: x }\nb: { <<: *a }", /<< is not taken/],
  [
    "a variable that is not set",
    "web: { image: $NOTHING }",
    /^2 \/machines\/web\/image NOTHING is not set; \$\{NOTHING:-\}/,
  ],
  ["a dollar", "web: { image: a$ }", /a dollar is written \$\$/],
])("%s is refused", async (_, text, message) => {
  const found = await faults(machines(text))
  expect(found[0]).toMatch(message)
})

test("what grows when it is read is cut off, and so is what is no document", async () => {
  const bomb = ["a: &a [x, x, x, x, x, x, x, x, x]"]
  for (let at = 1; at < 12; at++) {
    const [name, before] = [String.fromCharCode(97 + at), String.fromCharCode(96 + at)]
    bomb.push(`${name}: &${name} [${Array(9).fill(`*${before}`).join(", ")}]`)
  }
  const began = performance.now()
  expect((await faults(bomb.join("\n"))).join()).toContain("too large")
  expect(performance.now() - began).toBeLessThan(10_000)
  expect((await faults("a: &a [*a]"))[0]).toContain("too large, or too deep")
  // Each of these once, and in words about the file.
  for (const text of [`a: ${"[".repeat(20_000)}`, bomb.join("\n")]) {
    const said = await faults(text)
    expect(said.filter((one) => one.includes("too large, or too deep"))).toHaveLength(1)
    expect(said.join()).not.toMatch(/call stack/i)
  }
  expect((await faults("a: 1\n---\nb: 2"))[0]).toContain("more than one document")
  expect((await faults("machines: { ../a: { image: x } }")).join()).toContain('"../a"')
  for (const name of ["toString", "__proto__", "constructor"])
    expect((await faults(`machines: { a: { image: "\${${name}}" } }`)).join()).toContain(`${name} is not set`)
  expect((await faults("machines: [\n"))[0]).toMatch(/^\d/)
  expect((await faults(""))[0]).toContain("object")
  expect((await faults("machines: {}\n"))[0]).toContain("fewer than 1")
  await expect(readProject("x", Buffer.from([0xff]), { environment: {} })).rejects.toThrow("no text in UTF-8")
})

test("variables come from the environment, then from .env, and stay values", async () => {
  const folder = await mkdtemp(join(tmpdir(), "ovm-compose-"))
  try {
    await writeFile(join(folder, ".env"), "CPUS=2\nIMAGE=from-file\n")
    const text = machines(
      'web: { image: "$IMAGE", args: "a$$b", resources: { cpus: $CPUS }, labels: { a: "${CPUS}", b: "${X:-}" } }',
    )
    const options = { environment: { IMAGE: "x, ports: [1]" } }
    const { machines: found } = await readProject(join(folder, "m.yaml"), Buffer.from(text), options)
    expect(found.web).toEqual({
      image: "x, ports: [1]",
      args: "a$b",
      resources: { cpus: 2 },
      labels: { a: "2", b: "" },
    })
    await writeFile(join(folder, ".env"), "A=1\nnonsense\n")
    await expect(readProject(join(folder, "m.yaml"), Buffer.from(text), options)).rejects.toThrow(
      ".env:2: it is not",
    )
  } finally {
    await rm(folder, { recursive: true })
  }
})

test("Docker's forms of a variable", () => {
  const variables = (name: string) => ({ A: "a", EMPTY: "" })[name]
  for (const [text, expected] of [
    ["$A-$A.", "a-a."],
    ["${A}b", "ab"],
    ["${EMPTY:-x}${EMPTY-x}${NO-y}", "xy"],
    ["${NO:-${A}${NO:-z}}", "az"],
    ["${A:+set}${EMPTY:+no}${EMPTY+there}${NO+no}", "setthere"],
    ["$$A $${A}", "$A ${A}"],
    ["${A:?no}", "a"],
  ] as const)
    expect([text, interpolate(text, variables)]).toEqual([text, expected])
  for (const [text, message] of [
    ["${EMPTY:?is needed}", "EMPTY: is needed"],
    ["${NO?}", "NO: it has to be set"],
    ["${A", "not closed"],
    ["${A:-b", "not closed"],
    ["${A/b}", "not known here"],
    ["${}", "no name"],
    ["$1", "no name"],
    ["${NO:-".repeat(10), "too deep"],
  ] as const)
    expect(() => interpolate(text, variables)).toThrow(message)
})

test("files of variables, durations, orders", () => {
  const text = "# a\n\nA=1 # one\nexport B = 'two # 2'\nC=\"x=y\"\nD=\nE=a#b\n"
  expect(Object.fromEntries(parseDotenv(text))).toEqual({ A: "1", B: "two # 2", C: "x=y", D: "", E: "a#b" })
  expect(() => parseDotenv("A='1")).toThrow(".env:1: the quote is not closed")
  expect(["500ms", "1m30s", "2h"].map(durationOf)).toEqual([500, 90_000, 7_200_000])
  expect(
    inOrder(
      new Map([
        ["a", ["b", "x"]],
        ["b", []],
      ]),
    ),
  ).toEqual({ order: ["b", "a"] })
  expect(
    inOrder(
      new Map([
        ["a", ["b"]],
        ["b", ["b"]],
      ]),
    ),
  ).toEqual({ cycle: ["b", "b"] })
})

test("a machine that is put on standby says when, and has nothing that keeps it from that", async () => {
  const project = await read(
    machines("web: { image: a:1, standby_after: 1h30m, ports: [80], restart: always }"),
  )
  expect(project.machines.web?.standby_after).toBe("1h30m")
  const found = await faults(`volumes: { data: { size: 1GiB } }
networks: { back: {} }
machines:
  a: { image: a:1, standby_after: 999ms }
  b: { image: a:1, standby_after: 721h }
  c: { image: a:1, standby_after: 1m, volumes: [data] }
  d: { image: a:1, standby_after: 1m, networks: [back] }
  e: { image: a:1, standby_after: 1m, command: sleep 1 }
  f: { image: a:1, standby_after: 1m, volumes: [./src:/src] }
`)
  const never = (name: string, line: number, what: string) =>
    `${line} /machines/${name}/standby_after a machine with ${what} is not put on standby`
  expect(found).toEqual([
    "4 /machines/a/standby_after it is not a time from 1s to 720h",
    "5 /machines/b/standby_after it is not a time from 1s to 720h",
    never("c", 6, "volumes"),
    never("d", 7, "a network that machines share"),
    never("e", 8, "a command of its own"),
    never("f", 9, "volumes"),
  ])
  expect(await faults(machines("web: { image: a:1, standby_after: soon }"))).toHaveLength(1)
  expect(await faults(machines("web: { image: a:1, standby_after: 60 }"))).toHaveLength(1)
})
