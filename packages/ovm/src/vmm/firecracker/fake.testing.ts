import { writeFileSync } from "node:fs"
import type { FirecrackerCapabilities } from "./capabilities.ts"

/**
 * Makes a stand-in at `path` for faults that the real one cannot be made to show. `faults` are answers, by what is
 * asked: `hang`, `hang until FILE`, `end STATUS`, `say BODY`, or a refusal's words. Its guest notes on its disk that it
 * runs, whenever it begins to.
 */
export function fakeFirecracker(path: string, faults: Readonly<Record<string, string>>): string {
  writeFileSync(path, `#!${process.execPath}\nconst faults = ${JSON.stringify(faults)}\n${PROGRAM}`, {
    mode: 0o755,
  })
  return path
}

const PROGRAM = `
const { existsSync, openSync, writeSync, fsyncSync, writeFileSync } = require("node:fs")
let disk
const note = () => {
  if (disk === undefined) return
  const fd = openSync(disk, "r+")
  writeSync(fd, "its guest ran", 512)
  fsyncSync(fd)
}
const answer = async (asked, body) => {
  const fault = faults[asked + " " + (body.state ?? body.action_type)] ?? faults[asked] ?? ""
  if (body.state === "Resumed" || body.action_type === "InstanceStart") note()
  if (fault === "hang") await new Promise(() => {})
  const file = fault.startsWith("hang until ") && fault.slice(11)
  while (file && !existsSync(file)) await Bun.sleep(5)
  if (fault.startsWith("end ")) {
    console.error("what it says at its end")
    process.exit(Number(fault.slice(4)))
  }
  if (fault.startsWith("say ")) return [200, fault.slice(4)]
  if (fault && !file) return [400, JSON.stringify({ fault_message: fault })]
  if (asked === "PUT /drives/disk") disk = body.path_on_host
  if (asked === "PUT /snapshot/create")
    for (const name of ["snapshot_path", "mem_file_path"]) writeFileSync(body[name], name)
  return asked.startsWith("GET ") ? [200, JSON.stringify({ firecracker_version: "1.16.1", state: "Running" })] : [204, ""]
}
// One after the other, as the real one.
let heard = ""
let busy = false
const serve = async (socket) => {
  const from = heard.indexOf("\\r\\n\\r\\n") + 4
  const [asked, length] = [/^\\S+ \\S+/.exec(heard)?.[0], /Content-Length: (\\d+)/.exec(heard.slice(0, from))?.[1] ?? 0]
  if (busy || from < 4 || heard.length < from + Number(length)) return
  const text = heard.slice(from, from + Number(length))
  heard = heard.slice(from + Number(length))
  busy = true
  const [status, body] = await answer(asked, text === "" ? {} : JSON.parse(text))
  socket.write("HTTP/1.1 " + status + " x\\r\\nContent-Length: " + body.length + "\\r\\n\\r\\n" + body)
  busy = false
  await serve(socket)
}
Bun.listen({ unix: "api.sock", socket: { data(socket, bytes) { heard += bytes; serve(socket) } } })
`

export const foundFake = (binary: string): FirecrackerCapabilities => ({
  name: "firecracker",
  version: "1.16.1",
  binary,
  accelerator: "kvm",
  acceleratorReason: "it is only said to be there",
  accelerators: ["kvm"],
  snapshotFormat: "firecracker-10",
})
