import { afterAll, beforeAll, expect, test } from "bun:test"
import { createServer, type Server } from "node:http"
import { join } from "node:path"
import { Bed, report } from "./bed.ts"

// OVMS-CNF-058: what a VMM has not, as its page of spec/runtimes says, is no fault of a runtime that has no other.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

interface Refusal {
  readonly code?: string
  readonly pointers?: readonly string[]
}

/** A runtime by its socket, which knows these VMMs and refuses all that it is asked to start. */
function refusing(socket: string, vmms: readonly string[], { code, pointers }: Refusal): Promise<Server> {
  const detail = (pointers ?? ["/devices/0/type"]).map((pointer) => ({ pointer, reason: "it has none" }))
  const one = { code: code ?? "OVM_UNSUPPORTED", message: "it cannot be had", detail }
  const known = vmms.map((name) => ({
    ...{ name, version: "1", binary: "/bin/true", accelerator: "kvm" },
    accelerator_reason: "it is there",
  }))
  const info = {
    ...{ version: "1", pid: 1, root: "/", vmms: known, warm: [] },
    ...{ instances: { total: 0, running: 0, limit: 1 }, policy: { file: "/policy.json", active: false } },
  }
  const server = createServer((asked, answer) => {
    const good = asked.method === "GET"
    asked.resume().on("end", () => {
      answer.writeHead(good ? 200 : code ? 400 : 422, { "content-type": "application/json" })
      answer.end(JSON.stringify(good ? info : { errors: [one] }))
    })
  })
  return new Promise((resolve) => server.listen(socket, () => resolve(server)))
}

const IN_VAIN = "refused with OVM_UNSUPPORTED"

interface Case {
  readonly name: string
  readonly vmms?: readonly string[]
  readonly refusal?: Refusal
  readonly words?: string
  readonly verdict?: "fail" | "skip"
}

const CASES: readonly Case[] = [
  { name: "of that VMM by its name", verdict: "skip", words: "firecracker has no serial ports" },
  { name: "of another VMM", vmms: ["qemu"] },
  { name: "of that VMM beside another one", vmms: ["firecracker", "qemu"] },
  {
    name: "by another code",
    refusal: { code: "OVM_REQUEST_INVALID" },
    words: "refused with OVM_REQUEST_INVALID",
  },
  { name: "of something else besides", refusal: { pointers: ["/devices/0/type", "/resources/memory"] } },
  { name: "of what is not asked for", refusal: { pointers: ["/kernel"] } },
  { name: "of nothing", refusal: { pointers: [] } },
]

test.each(CASES.map((one) => [one.name, one] as const))("a refusal %s (OVMS-CNF-058)", async (name, one) => {
  const { vmms = ["firecracker"], refusal = {}, verdict = "fail", words = IN_VAIN } = one
  const socket = join(bed.folder, `${name.replaceAll(" ", "-")}.sock`)
  const server = await refusing(socket, vmms, refusal)
  try {
    const { results } = await report(["runtime", "--socket", socket, "--only", "runtime/serial-ports"])
    expect(results).toMatchObject([{ verdict, reason: expect.stringContaining(words) }])
  } finally {
    server.close()
  }
})
