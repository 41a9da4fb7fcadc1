import { afterAll, beforeAll, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises"
import { join } from "node:path"
import errors from "@ovms/spec/errors.json" with { type: "json" }
import { withoutNetworkRights } from "@ovms/testkit/network-rights.ts"
import { Random } from "@ovms/testkit/random.ts"
import { type RawAnswer, rawRequest } from "@ovms/testkit/raw-http.ts"
import { parse } from "yaml"
import { openImages } from "../images/images.ts"
import { LocalRuntime } from "../runtime/local.ts"
import { Policy } from "../signing/policy/policy.ts"
import * as validators from "./generated/validators.js"
import { type Server, serve } from "./server.ts"

// Every operation of the OpenAPI file is asked for in every wrong way that this can think of, and each answer is held
// against the file. The seed is fixed: what fails, fails again. OVM_FUZZ_SEED and OVM_FUZZ_REQUESTS try others.
const SEED = Number(process.env.OVM_FUZZ_SEED ?? 11)
const REQUESTS = Number(process.env.OVM_FUZZ_REQUESTS ?? 4000)
const JUDGES = new Map(Object.entries(validators))

setDefaultTimeout(240_000)

interface Schema {
  readonly $ref?: string
  readonly type?: string
  readonly enum?: readonly unknown[]
  readonly properties?: Readonly<Record<string, Schema>>
  readonly minimum?: number
  readonly maximum?: number
  readonly items?: Schema
}

interface Operation {
  readonly parameters?: readonly { readonly name?: string; readonly in?: string }[]
  readonly requestBody?: { readonly content: Record<string, { readonly schema: Schema }> }
  readonly responses: Readonly<
    Record<string, { readonly content?: Record<string, { readonly schema?: Schema }> }>
  >
}

interface Document {
  readonly paths: Readonly<Record<string, Readonly<Record<string, Operation>>>>
  readonly components: { readonly schemas: Readonly<Record<string, Schema>> }
}

let root: string
let socket: string
let runtime: LocalRuntime
let server: Server
let document: Document
let manifests: string[]
let restoreRights: () => void

beforeAll(async () => {
  // POST /networks is among the operations.
  restoreRights = withoutNetworkRights()
  root = await mkdtemp("/tmp/ovm-fuzz-")
  socket = join(root, "ovm.sock")
  const images = await openImages(join(root, "store"), join(root, "derived"), new Policy(join(root, "none")))
  runtime = await LocalRuntime.open({ version: "test", root, instances: join(root, "i"), images, vmms: [] })
  server = await serve(runtime, socket)
  document = parse(
    await readFile(join(import.meta.dir, "../../../../spec/api/openapi.yaml"), "utf8"),
  ) as Document
  execFileSync("mkfifo", [join(root, "fifo")])
  await mkdir(join(root, "layout"))
  await writeFile(join(root, "layout", "oci-layout"), '{"imageLayoutVersion":"1.0.0"}')
  await writeFile(join(root, "layout", "index.json"), "[".repeat(100_000))
  await writeFile(join(root, "archive.tar"), Buffer.alloc(10_240, "ustar\0"))
  await writeFile(join(root, "machine.json"), `{"schemaVersion":1,"x":${"[".repeat(1000)}`)
  const files = [
    "fifo",
    "layout",
    "layout:tag",
    "archive.tar",
    "archive.tar:x",
    "machine.json",
    "nothing",
    "ovm.sock",
    "",
  ]
  manifests = [
    ...files.map((name) => join(root, name)),
    ...[
      "/",
      "/dev/zero",
      "/dev/stdin",
      "/proc/self/mem",
      "/proc/self/environ",
      `/${"x".repeat(4095)}`,
      "//",
      "/..",
    ],
    ...[
      "nobody",
      "nobody:1",
      "a@b",
      "A",
      ":",
      "@",
      "localhost/x",
      "x".repeat(4096),
      `a@sha256:${"0".repeat(64)}`,
      "%00",
      "é",
      "\u{1f600}",
    ],
  ]
})

afterAll(async () => {
  restoreRights()
  await server.close()
  await runtime.close()
  await rm(root, { recursive: true })
})

const IDS = [
  ...[
    "00000000-0000-4000-8000-000000000000",
    "",
    ".",
    "..",
    "%2e%2e",
    "%00",
    "%zz",
    "%",
    "%c3%28",
    "a%2fb",
    "toString",
  ],
  ...["__proto__", "constructor", "x".repeat(5000), "%F0%9F%98%80", "*", "{instance_id}", "a;b", "a+b", "-1"],
]
const JUNK: readonly unknown[] = [
  ...[
    null,
    true,
    false,
    0,
    -1,
    0.5,
    1e308,
    2 ** 53,
    "",
    "x",
    "\u0000",
    "\ud800",
    "x".repeat(70),
    "x".repeat(5000),
    [],
    {},
  ],
  ...[[[]], { a: 1 }, "../..", "a,b=c", "-x", "$(id)", "\n"],
]
const METHODS = [
  "GET",
  "POST",
  "PUT",
  "DELETE",
  "PATCH",
  "HEAD",
  "OPTIONS",
  "TRACE",
  "CONNECT",
  "FOO",
  "get",
  "PROPFIND",
]
const HEADERS = [
  ...[
    "Accept: application/x-ndjson",
    "Accept: ,;=",
    "Content-Type: text/xml",
    "Content-Type: application/json",
    "X: \xff",
  ],
  ...[
    "Expect: 100-continue",
    "Expect: nonsense",
    "Upgrade: websocket",
    "Upgrade: h2c\r\nConnection: upgrade",
    "Host: a b",
    "Host:",
  ],
  ...[
    "Range: bytes=0-",
    "If-Match: *",
    "Transfer-Encoding: gzip",
    "Content-Length: -1",
    "Content-Length: 5, 5",
    "Cookie: a=b",
    "Content-Encoding: br",
  ],
]

class Fuzzer {
  readonly random = new Random(SEED)

  request(): { text: Buffer; damaged: boolean; method: string; path: string; operation?: Operation } {
    const { random } = this
    const path = random.of(Object.keys(document.paths))
    const operations = document.paths[path] ?? {}
    const own = random.of(Object.keys(operations)).toUpperCase()
    const method = random.chance(0.8) ? own : random.of(METHODS)
    const operation = operations[method.toLowerCase()]
    const target = this.#target(path, operation)
    const body = random.chance(0.9) || operation?.requestBody ? this.#body(operation) : undefined
    const headers = ["Connection: close"]
    while (random.chance(0.3)) headers.push(random.of(HEADERS))
    const chunked = body !== undefined && random.chance(0.2)
    if (chunked) headers.push("Transfer-Encoding: chunked")
    else if (body !== undefined) headers.push(`Content-Length: ${body.length}`)
    const framed = chunked && body ? chunk(body) : (body ?? Buffer.alloc(0))
    const head = `${method} ${target} HTTP/1.${random.chance(0.95) ? 1 : 0}\r\n${headers.join("\r\n")}\r\n\r\n`
    const whole = Buffer.concat([Buffer.from(head, "latin1"), framed])
    const broken = random.chance(0.05)
    // Odd headers too can say that more is to come.
    const damaged = broken || headers.length > 1 + Number(body !== undefined)
    const text = broken ? this.#damaged(whole) : whole
    return { text, damaged, method, path, ...(operation && { operation }) }
  }

  #target(path: string, operation: Operation | undefined): string {
    const { random } = this
    const filled = path.replace(/\{\w+\}/g, () => encodeLoosely(random.of(IDS)))
    const prefix = random.chance(0.05) ? random.of(["/", "http://x", "http://x:y", "..", "/%2e", "*"]) : ""
    const suffix = random.chance(0.05) ? random.of(["/", "//", "/x", "#x", ";x", "%00"]) : ""
    const known = operation?.parameters?.flatMap(({ name }) => name ?? []) ?? []
    const query: string[] = []
    while (random.chance(0.4)) {
      const name = random.chance(0.7)
        ? random.of([...known, "follow", "force"])
        : random.of(["x", "", "%zz", "__proto__", "a[]"])
      query.push(
        `${name}=${encodeLoosely(String(random.of(["true", "false", "", "maybe", "1", "%zz", "x".repeat(300)])))}`,
      )
    }
    return prefix + filled + suffix + (query.length > 0 ? `?${query.join("&")}` : "")
  }

  #body(operation: Operation | undefined): Buffer {
    const { random } = this
    const schema = operation?.requestBody?.content["application/json"]?.schema
    if (!schema || random.chance(0.1)) {
      const texts = [
        "",
        "{",
        "[]",
        "null",
        "\ufeff{}",
        '{"a":1,"a":2}',
        "[".repeat(5000),
        "\xff",
        `"${"x".repeat(70_000)}"`,
        "{}{}",
      ]
      return Buffer.from(random.of(texts), random.chance(0.5) ? "utf8" : "latin1")
    }
    return Buffer.from(JSON.stringify(this.#value(schema, "")))
  }

  /** Mostly what the schema wants, and often something else in one place. */
  #value(schema: Schema, name: string): unknown {
    const { random } = this
    if (schema.$ref)
      return this.#value(document.components.schemas[schema.$ref.replace(/.*\//, "")] ?? {}, name)
    if (random.chance(0.05)) return random.of(JUNK)
    if (schema.enum) return random.of(schema.enum)
    if (schema.type === "object") {
      const entries = Object.entries(schema.properties ?? {}).filter(
        ([key]) => key === "manifest" || random.chance(0.6),
      )
      const found = entries.map(([key, value]) => [key, this.#value(value, key)] as const)
      return Object.fromEntries(random.chance(0.05) ? [...found, [String(random.of(IDS)), 1]] : found)
    }
    if (schema.type === "integer" || schema.type === "number") {
      const { minimum = 0, maximum = 2 ** 40 } = schema
      return random.of([minimum, maximum, minimum - 1, maximum + 1, minimum + 0.5, 2 ** 20])
    }
    if (schema.type === "boolean") return random.chance(0.5)
    if (name === "manifest") return random.of(manifests)
    if (name === "instance_id") return random.of(IDS)
    return random.of(["a", "fastboot", "x".repeat(64), "A_b-1.2"])
  }

  /** Bytes changed, doubled or cut: what a broken client sends. */
  #damaged(text: Buffer): Buffer<ArrayBuffer> {
    const at = this.random.below(text.length)
    const noise = Buffer.from([this.random.below(256)])
    return Buffer.concat([text.subarray(0, at), noise, text.subarray(at + this.random.below(3))])
  }
}

function chunk(body: Buffer): Buffer {
  return Buffer.concat([
    Buffer.from(`${body.length.toString(16)}\r\n`),
    body,
    Buffer.from(body.length > 0 ? "\r\n0\r\n\r\n" : "\r\n"),
  ])
}

/** What would end the request line is escaped; all else is left as it is. */
function encodeLoosely(text: string): string {
  return text.replace(/[\s#?]|[^ -\uffff]/g, encodeURIComponent)
}

/** What of an answer is against the OpenAPI file and spec/errors.md; undefined if nothing is. */
function fault(
  { status, headers, body }: RawAnswer,
  method: string,
  operation: Operation | undefined,
): string | undefined {
  if (status === 0) return undefined
  if (status >= 500) return "the runtime says that it failed"
  if (method === "HEAD") return undefined
  const text = body.toString()
  if (status >= 400) {
    const value = JSON.parse(text) as { errors: { code: keyof typeof errors.codes }[] }
    if (!validators.Errors(value)) return JSON.stringify(validators.Errors.errors)
    const [first] = value.errors
    return first && errors.codes[first.code].http === status
      ? undefined
      : "its status is not that of its code"
  }
  const answer = operation?.responses[status]
  if (!answer) return "the operation has no such answer"
  const name = answer.content?.["application/json"]?.schema?.$ref?.replace(/.*\//, "")
  const judge = name === undefined ? undefined : JUDGES.get(name)
  if (!judge || !headers["content-type"]?.startsWith("application/json")) return undefined
  return judge(JSON.parse(text)) ? undefined : JSON.stringify(judge.errors)
}

// OVMS-API-010, OVMS-API-160, OVMS-ERR-001, OVMS-ERR-002, OVMS-ERR-003
test("no request whatever is answered with 500, or against the OpenAPI file", async () => {
  const fuzzer = new Fuzzer()
  const seen = new Map<string, Set<number>>()
  for (let at = 0; at < REQUESTS; ) {
    const batch = Array.from({ length: 16 }, () => fuzzer.request())
    at += batch.length
    await Promise.all(
      batch.map(async ({ text, method, path, operation, damaged }) => {
        // What is damaged may have the other side wait for more to come.
        const answer = await rawRequest(socket, text, damaged ? 500 : 30_000)
        const key = `${method} ${path}`
        seen.set(key, (seen.get(key) ?? new Set()).add(answer.status))
        let wrong: string | undefined
        try {
          wrong = fault(answer, method, operation)
        } catch (thrown) {
          wrong = String(thrown)
        }
        if (wrong !== undefined)
          throw new Error(
            `${wrong}\nseed ${SEED}: ${JSON.stringify(text.toString("latin1").slice(0, 600))}\n${answer.status} ${answer.body.toString().slice(0, 600)}`,
          )
      }),
    )
  }
  // It reached every operation, and was understood and refused by those that take something.
  for (const [path, operations] of Object.entries(document.paths))
    for (const method of Object.keys(operations)) {
      const statuses = seen.get(`${method.toUpperCase()} ${path}`)
      expect([path, method, (statuses?.size ?? 0) > 1]).toEqual([path, method, true])
    }
  expect((await rawRequest(socket, "GET /health HTTP/1.1\r\nConnection: close\r\n\r\n")).status).toBe(200)
})
