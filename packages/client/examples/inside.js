// Runs a line of shell inside a machine as it is typed, and brings a file out: node inside.js SOCKET IMAGE
import { connect, execPieces } from "@ovms/client"

const [socket, manifest] = process.argv.slice(2)
const runtime = connect(socket)
const overrides = { agent: true, network: { mode: "none" } }
const { instance_id } = await runtime.start({ manifest, overrides })
try {
  await runtime.ready(instance_id, { timeoutMs: 300_000 })
  const command = ["sh", "-c", "tee /words | wc -w"]
  const attachment = crypto.randomUUID()
  const bytes = await runtime.execStream(instance_id, { command, interactive: true }, { attachment })
  await runtime.execType(instance_id, { attachment, bytes: Buffer.from("to be or "), end: false })
  await runtime.execType(instance_id, { attachment, bytes: Buffer.from("not to be\n"), end: true })
  const pieces = execPieces(bytes)
  let next = await pieces.next()
  for (; !next.done; next = await pieces.next()) process.stdout.write(next.value.bytes)
  console.log(`exit code ${next.value.exit_code}`)
  // A tar archive: its one file begins behind a header of 512 bytes.
  const tar = []
  for await (const chunk of await runtime.readFiles(instance_id, { path: "/words" })) tar.push(chunk)
  console.log(
    Buffer.concat(tar)
      .toString("utf8")
      .match(/to be.*/)?.[0],
  )
} finally {
  await runtime.remove(instance_id, { force: true })
}
