import { execFile } from "node:child_process"
import { randomBytes } from "node:crypto"
import { writeFile } from "node:fs/promises"
import { join } from "node:path"
import { promisify } from "node:util"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { must } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { errorOf, OPERATIONS } from "../../subject/answers.ts"
import type { Instance, Runtime } from "../../subject/runtime.ts"
import type { Plan } from "./plan.ts"

interface List {
  readonly instances: readonly Instance[]
}

/** A start, or what makes an instance, that has to be refused, and to leave nothing behind. */
async function startRefused(
  runtime: Runtime,
  code: string | RegExp,
  body: object,
  operation = "POST /start",
) {
  const mark = `refused-${process.hrtime.bigint()}`
  const overrides = { ...("overrides" in body ? (body.overrides as object) : {}), labels: { mark } }
  const error = await runtime.refused(operation, code, "", { body: { ...body, overrides } })
  const { instances } = await runtime.ask<List>("GET /instances")
  must(!instances.some(({ labels }) => labels?.mark === mark), "the start that was refused left an instance")
  return error
}

/** What some servers take for a path of the API, and what is none. */
const NEAR_PATHS = ["/health/", "/Health", "/INFO", "//health", "/instances//", "/v1/health"]

/** Operations of an instance whose path says all. */
const PLAIN = ["start", "restart", "pause", "resume"].map((verb) => `POST /instances/{instance_id}/${verb}`)

/** Each has a parameter that the operation does not have, or has one twice. */
const STRANGE_QUERIES: readonly (readonly [operation: string, query: string])[] = [
  ...["/health", "/info", "/instances", "/events", "/metrics", "/volumes", "/networks"].map(
    (path) => [`GET ${path}`, "surplus=1"] as const,
  ),
  ["GET /events", "follow=maybe"],
  ["GET /events", "follow=false&follow=false"],
  ["GET /logs/{instance_id}", "tail=1&tail=1"],
  ["GET /logs/{instance_id}", "tail=1&Tail=1"],
  ["DELETE /instances/{instance_id}", "force=true&surplus=1"],
  ["DELETE /instances/{instance_id}", "force=true&force=true"],
]

/** Each has a value that its parameter cannot have, or is badly written. */
const ODD_TARGETS = [
  "tail=-1",
  "tail=x",
  "tail=1e3",
  "since=yesterday",
  "since=2025-13-41T00:00:00Z",
  "tail=%zz",
]

export const requestPlans: readonly Plan[] = [
  {
    name: "health",
    covers: ["OVMS-API-010"],
    async run({ runtime }) {
      await runtime.ask("GET /health")
    },
  },
  {
    name: "info",
    covers: ["OVMS-API-010", "OVMS-API-090", "OVMS-API-092"],
    async run({ runtime }) {
      const { vmms, root } = await runtime.ask<{
        root: string
        vmms: readonly { version?: string; error?: object }[]
      }>("GET /info")
      const health = await runtime.ask<{ root: string }>("GET /health")
      must(health.root === root, `root is ${root}, and of GET /health ${health.root}`)
      must(vmms.length > 0, "GET /info lists no VMM")
      for (const vmm of vmms) must(vmm.version ?? vmm.error, "a VMM has neither a version nor an error")
    },
  },
  {
    name: "lists",
    covers: ["OVMS-API-010"],
    async run({ runtime }) {
      for (const operation of ["GET /instances", "GET /volumes", "GET /networks"])
        await runtime.ask(operation)
    },
  },
  {
    name: "unknown-path",
    covers: ["OVMS-API-013", "OVMS-ERR-001", "OVMS-ERR-002", "OVMS-ERR-003", "OVMS-ERR-008"],
    async run({ runtime }) {
      for (const path of [
        "/",
        "/nowhere",
        "/start/now",
        "/instances/a/b/c",
        "/%00",
        "/..//health",
        ...NEAR_PATHS,
      ])
        must(
          errorOf(path, await runtime.raw("GET", path)).code === "OVM_ROUTE_UNKNOWN",
          `${path} is no path of the API, and not answered so`,
        )
    },
  },
  {
    name: "methods",
    covers: ["OVMS-API-013", "OVMS-API-161"],
    async run({ runtime }) {
      const known = new Map<string, string[]>()
      for (const operation of Object.keys(OPERATIONS)) {
        const [method = "", path = ""] = operation.split(" ")
        known.set(path, [...(known.get(path) ?? []), method])
      }
      for (const [path, methods] of known) {
        const reply = await runtime.raw("PATCH", path.replace(/\{[a-z_]+\}/, "x"))
        must(
          errorOf(path, reply).code === "OVM_METHOD_NOT_ALLOWED",
          `PATCH ${path} is not refused as a method`,
        )
        const allowed = String(reply.headers.allow ?? "")
        const said = allowed.split(/\s*,\s*/).filter((method) => !/^(HEAD|OPTIONS)$/.test(method))
        must(
          said.sort().join() === methods.sort().join(),
          `Allow of ${path} is ${allowed}, and not ${methods}`,
        )
      }
    },
  },
  {
    name: "unknown-instance",
    covers: ["OVMS-API-014", "OVMS-ERR-005"],
    async run({ runtime }) {
      const ids = ["x", "x".repeat(5000), "00000000-0000-4000-8000-000000000000", "../info", "%2e%2e"]
      for (const id of ids) {
        const { message } = await runtime.refused("GET /status/{instance_id}", "OVM_INSTANCE_UNKNOWN", id)
        must(message.includes(id.slice(0, 20)), `the message does not name ${id.slice(0, 20)}: ${message}`)
      }
    },
  },
  {
    name: "part-of-an-id",
    covers: ["OVMS-API-014"],
    async run({ runtime, create }) {
      const id = await create()
      const { name } = await runtime.status(id)
      for (const part of [id.slice(0, -1), id.slice(0, 8), id.toUpperCase().replace(/^\d*$/, "X"), name]) {
        if (part === id) continue
        for (const operation of ["GET /status", "GET /logs", "DELETE /instances"])
          await runtime.refused(`${operation}/{instance_id}`, "OVM_INSTANCE_UNKNOWN", part)
        for (const operation of PLAIN) await runtime.refused(operation, "OVM_INSTANCE_UNKNOWN", part)
        await runtime.refused("POST /stop", "OVM_INSTANCE_UNKNOWN", "", { body: { instance_id: part } })
      }
    },
  },
  {
    name: "query",
    covers: ["OVMS-API-015", "OVMS-API-162", "OVMS-API-530"],
    async run({ runtime, create }) {
      const id = await create()
      for (const [strange, query] of STRANGE_QUERIES)
        await runtime.refused(strange, "OVM_REQUEST_INVALID", strange.includes("{") ? id : "", { query })
      for (const made of ["POST /start", "POST /instances", "POST /explain"])
        await startRefused(runtime, "OVM_REQUEST_INVALID", { manifest: runtime.guest }, `${made}?surplus=1`)
      await runtime.status(id)
      const operation = "GET /logs/{instance_id}"
      const wrong = [
        "follow=maybe",
        "follow=false&follow=false",
        "nonsense=1",
        "follow=",
        "follow=TRUE",
        "follow=1",
      ]
      for (const query of wrong) await runtime.refused(operation, "OVM_REQUEST_INVALID", id, { query })
      for (const query of ["force=True", "force=1", "Force=true"])
        await runtime.refused("DELETE /instances/{instance_id}", "OVM_REQUEST_INVALID", id, { query })
    },
  },
  {
    name: "odd-parameters",
    covers: ["OVMS-API-160"],
    async run({ runtime, create }) {
      const id = await create()
      for (const target of [
        ...ODD_TARGETS.map((query) => `/logs/${id}?${query}`),
        "/status/%zz",
        "/status/%ff",
      ]) {
        const reply = await runtime.raw("GET", target)
        errorOf(target, reply)
        must(reply.status < 500, `GET ${target} is answered with ${reply.status}, as a fault of the runtime`)
      }
    },
  },
  {
    name: "unknown-member-named",
    covers: ["OVMS-API-011", "OVMS-API-012", "OVMS-ERR-005"],
    async run({ runtime, create }) {
      const manifest = runtime.guest
      const bodies: readonly [operation: string, body: object, id?: string][] = [
        ["POST /start", { manifest }],
        ["POST /start", { manifest, overrides: { surplus: 1 } }],
        ["POST /instances", { manifest }],
        ["POST /instances", { manifest, overrides: { surplus: 1 } }],
        ["POST /explain", { manifest }],
        ["POST /volumes", { name: "suite-surplus", size: 1 << 20 }],
        ["POST /stop", { instance_id: await create() }],
        ["POST /instances/{instance_id}/rename", { name: "suite-surplus" }, await create()],
        ["POST /instances/{instance_id}/ports", { guest: 80 }, await create()],
        ["POST /instances/{instance_id}/commit", { name: "localhost/suite-surplus:1" }, await create()],
      ]
      for (const [operation, fine, id] of bodies) {
        const body = "overrides" in fine ? fine : { ...fine, surplus: 1 }
        const { message } = await runtime.refused(operation, "OVM_REQUEST_INVALID", id, { body })
        must(message.includes("surplus"), `the message of ${operation} does not name the member: ${message}`)
      }
    },
  },
  {
    name: "large-body",
    covers: ["OVMS-LIM-010"],
    async run({ runtime }) {
      const body = Buffer.from(JSON.stringify({ manifest: "a".repeat(100_000) }))
      await runtime.refused("POST /start", "OVM_REQUEST_TOO_LARGE", "", { body })
    },
  },
  {
    name: "relative-path",
    covers: ["OVMS-API-021"],
    async run({ runtime }) {
      for (const manifest of ["./here", "../there"])
        for (const operation of ["POST /start", "POST /instances", "POST /explain"])
          await startRefused(runtime, "OVM_REQUEST_INVALID", { manifest }, operation)
    },
  },
  {
    name: "nothing-there",
    covers: ["OVMS-API-022", "OVMS-API-160", "OVMS-API-171"],
    async run({ runtime, folder }) {
      const manifest = runtime.guest
      const late: readonly (readonly [code: string, overrides: object])[] = [
        ["OVM_VOLUME_UNKNOWN", { volumes: [{ name: `none-${process.hrtime.bigint()}` }] }],
        ["OVM_UNSUPPORTED", { diskSize: 1 << 20 }],
        ["OVM_UNSUPPORTED", { network: { mode: "none", ports: [{ guest: 80 }] } }],
      ]
      for (const operation of ["POST /start", "POST /instances"])
        for (const [code, overrides] of late)
          await startRefused(runtime, code, { manifest, overrides }, operation)
      await startRefused(runtime, /^OVM_(?!INTERNAL)/, { manifest: join(folder, "nothing") })
      await startRefused(runtime, /^OVM_(?!INTERNAL)/, { manifest: `/${"x/".repeat(2000)}` })
    },
  },
  {
    name: "two-refusals",
    covers: ["OVMS-API-530"],
    async run({ runtime, create }) {
      const either = /^OVM_(REQUEST_INVALID|INSTANCE_UNKNOWN|STATE_CONFLICT)$/
      await runtime.refused("DELETE /instances/{instance_id}", either, "nobody", { query: "force=perhaps" })
      for (const body of [{ name: "one", surplus: 1 }, {}])
        await runtime.refused("POST /instances/{instance_id}/rename", either, "nobody", { body })
      const id = await create()
      const before = await runtime.status(id)
      const surplus = { query: "surplus=1", body: { name: `${before.name}-2`, surplus: 1 } }
      await runtime.refused("POST /instances/{instance_id}/rename", either, id, surplus)
      await runtime.refused("POST /instances/{instance_id}/pause", either, id, { body: { surplus: 1 } })
      const { name, state } = await runtime.status(id)
      must(
        name === before.name && state === before.state,
        `what was refused has changed it: ${name}, ${state}`,
      )
    },
  },
  {
    name: "damaged-kernel",
    covers: ["OVMS-API-022", "OVMS-REF-013", "OVMS-SEC-001"],
    async run({ runtime, folder }) {
      // Nobody has this kernel yet.
      const artifact = guestArtifact(randomBytes(16))
      const other = Buffer.from(artifact.kernel)
      other.writeUInt8((other.at(-1) ?? 0) ^ 1, other.length - 1)
      const layout = await writeLayout(join(folder, "damaged"), artifact)
      // The blob has the name that it should have, and other bytes.
      await writeFile(join(layout, "blobs/sha256", digestOf(artifact.kernel).slice(7)), other)
      await startRefused(runtime, "OVM_DIGEST_MISMATCH", { manifest: layout })
    },
  },
  {
    name: "all-faults",
    covers: ["OVMS-API-022", "OVMS-ERR-006"],
    async run({ runtime, folder }) {
      const file = join(folder, "manifest.json")
      await writeFile(file, JSON.stringify({ schemaVersion: 1, name: "x", surplus: true }))
      const { detail } = await startRefused(runtime, "OVM_MANIFEST_INVALID", { manifest: file })
      const faults = Array.isArray(detail) ? detail : []
      must(faults.length > 1, "detail does not have all faults of the manifest")
      for (const fault of faults)
        for (const name of ["document", "pointer", "requirement", "code", "message"])
          must(typeof fault[name] === "string", `a fault in detail has no ${name}`)
    },
  },
  {
    name: "pipe-and-device",
    covers: ["OVMS-SEC-045", "OVMS-SEC-048", "OVMS-API-160"],
    async run({ runtime, folder }) {
      const pipe = join(folder, "pipe")
      await promisify(execFile)("mkfifo", [pipe])
      for (const manifest of [pipe, "/dev/zero"]) {
        const refusal = startRefused(runtime, "OVM_FILE_UNREADABLE", { manifest })
        await runtime.ask("GET /health")
        await refusal
      }
    },
  },
]
