import { spawn } from "node:child_process"
import { mkdirSync } from "node:fs"
import { createServer } from "node:net"
import { join } from "node:path"
import { until } from "@ovms/testkit/until.ts"
import { qemuArguments } from "../arguments.ts"
import { findQemu, machineTypesOf } from "../find.ts"
import { modelOf } from "../model.ts"
import { connectQmp } from "../qmp.ts"

/** A whole migration stream of a small machine that has run for a moment, as QEMU wrote it. `memory` is in bytes. */
export async function record(directory: string, guest: string, memory: number): Promise<Buffer> {
  mkdirSync(directory)
  const binary = await findQemu()
  const [machineType = ""] = await machineTypesOf(binary)
  const plan = {
    ...{ id: "recorded", directory, consoleLimit: 0, devices: [], resources: { vcpus: 1, memory } },
    kernel: { path: guest, args: "tick_ms=10" },
  }
  const options = {
    accelerator: "tcg",
    model: modelOf(plan, { accelerator: "tcg", machineType }),
    generationId: crypto.randomUUID(),
  }
  const child = spawn(binary.path, qemuArguments(plan, options), {
    cwd: directory,
    stdio: ["ignore", "pipe", "inherit"],
  })
  let said = ""
  child.stdout.on("data", (text) => {
    said += text
  })
  const chunks: Buffer[] = []
  const over = Promise.withResolvers<void>()
  const server = createServer((socket) => {
    socket.on("data", (chunk: Buffer) => chunks.push(chunk)).on("end", over.resolve)
  })
  try {
    const qmp = await until("a monitor", () => connectQmp(directory, { timeoutMs: 10_000 }))
    await qmp.execute("cont")
    await until("two ticks", () => said, { is: (said) => said.includes("TICK 2") })
    await new Promise<void>((resolve) => server.listen(join(directory, "m"), resolve))
    const capabilities = [{ capability: "x-ignore-shared", state: true }]
    await qmp.execute("migrate-set-capabilities", { capabilities })
    await qmp.execute("migrate", { uri: "unix:m" })
    await over.promise
  } finally {
    server.close()
    child.kill("SIGKILL")
  }
  return Buffer.concat(chunks)
}
