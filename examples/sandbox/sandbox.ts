// Runs code of a stranger in a machine of its own: SOCKET is the daemon's, SNAPSHOT a snapshot with an agent.
import { connect } from "@ovms/client"

const { SOCKET = "/run/ovm/ovm.sock", SNAPSHOT: manifest = "demo:ready" } = process.env
const runtime = connect(SOCKET)

const base64 = (text: string) => Buffer.from(text).toString("base64")
const text = (content: string) => Buffer.from(content, "base64").toString()

/** What `script` prints, and what it leaves at /work/result. */
async function run(script: string, seconds = 10) {
  const { exit_code, timed_out, stdout, files, timings_ms } = await runtime.sandbox({
    manifest,
    command: ["sh", "/work/script"],
    files: [{ path: "/work/script", content: base64(script) }],
    outputs: ["/work/result"],
    timeout_ms: seconds * 1000,
  })
  const [result] = files
  return { exit_code, timed_out, stdout, result: result && text(result.content), took: timings_ms.total }
}

// Several at once: each has a machine of its own, and sees nothing of the others.
const words = ["to be", "or not", "to be"]
const answers = await Promise.all(words.map((line) => run(`echo ${line} | tee /work/result | wc -w`)))
for (const { stdout, result } of answers) console.log(`${stdout.trim()} words in: ${result?.trim()}`)

// What hangs is ended.
const hung = await run("echo begun; sleep 600", 4)
console.log(`timed out: ${hung.timed_out}, exit code ${hung.exit_code}, after it said: ${hung.stdout.trim()}`)
