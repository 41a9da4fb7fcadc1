import { chmod, lstat, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises"
import { createServer } from "node:net"
import { dirname, join } from "node:path"
import { guestArtifact } from "../../artifact/guest.ts"
import { writeLayout } from "../../artifact/layout.ts"
import { Failure, must, skip } from "../../check.ts"
import { digestOf } from "../../registry/content.ts"
import { errorOf } from "../../subject/answers.ts"
import { pathsBelow } from "../../subject/below.ts"
import type { Passed } from "../../subject/harness.ts"
import { apart } from "./aside.ts"
import { harnessOf, type Plan } from "./plan.ts"

/** Every file and folder below `folder`, and its mode. */
async function modes(folder: string): Promise<{ path: string; mode: number; folder: boolean }[]> {
  const found = []
  for (const name of await pathsBelow(folder)) {
    const path = join(folder, name)
    const stats = await lstat(path).catch(() => undefined)
    if (stats?.isFile() || stats?.isDirectory())
      found.push({ path: name, mode: stats.mode & 0o777, folder: stats.isDirectory() })
  }
  return found
}

/** A Unix socket that listens at a path, to be passed on: nobody here takes connections of it then. */
export async function listening(path: string): Promise<Passed> {
  const server = createServer()
  await new Promise<void>((resolve) => server.listen(path, resolve))
  const descriptor = (server as unknown as { _handle?: { fd?: number } })._handle?.fd
  if (descriptor === undefined) skip("this program cannot pass on a socket: run the suite by Node")
  return {
    descriptor,
    // Its path goes with the server, unless that is elsewhere.
    async passed() {
      await rename(path, `${path}.kept`)
      await new Promise((resolve) => server.close(resolve))
      await rename(`${path}.kept`, path)
    },
  }
}

/** What is in the folder of a runtime but for settings, which its command gives every other one as well. */
async function leftIn(home: string, other: string): Promise<string[]> {
  const bytesOf = (folder: string, name: string) => readFile(join(folder, name)).catch(() => undefined)
  const left: string[] = []
  for (const name of await readdir(home)) {
    const bytes = await bytesOf(home, name)
    if (!bytes?.length || !(await bytesOf(other, name))?.equals(bytes)) left.push(name)
  }
  return left
}

export const socketPlans: readonly Plan[] = [
  {
    name: "socket",
    covers: ["OVMS-API-001", "OVMS-API-150", "OVMS-CNF-030"],
    async run({ runtime }) {
      const socket = await stat(runtime.socket)
      must(
        socket.isSocket() && (socket.mode & 0o777) === 0o600,
        `its mode is ${(socket.mode & 0o777).toString(8)}`,
      )
      const { mode } = await stat(dirname(runtime.socket))
      must((mode & 0o777) === 0o700, `the mode of its folder is ${(mode & 0o777).toString(8)}`)
    },
  },
  // By itself: what others commit is a file of an instance and a blob for a moment.
  apart({
    name: "files-of-its-user",
    covers: ["OVMS-API-153", "OVMS-SNP-095"],
    async run({ runtime, boot }) {
      const { home } = harnessOf(runtime)
      await boot()
      for (const { path, mode, folder } of await modes(home)) {
        const blob = /\/blobs\/sha256\//.test(`/${path}`)
        const others = mode & 0o077 & ~(blob ? 0o044 : 0)
        must(others === 0, `${path} has the mode ${mode.toString(8)}`)
        must(!folder || mode === 0o700 || blob, `the folder ${path} has the mode ${mode.toString(8)}`)
      }
    },
  }),
  {
    name: "second-runtime",
    covers: ["OVMS-API-003", "OVMS-CNF-056"],
    async run({ runtime }) {
      const { status, said } = await harnessOf(runtime).second()
      must(
        status !== 0 && said.includes("OVM_DAEMON_RUNNING"),
        `a second runtime ended with ${status}, and said ${said || "nothing, on standard error either"}`,
      )
      await runtime.ask("GET /health")
    },
  },
  apart({
    name: "socket-removed",
    covers: ["OVMS-API-151"],
    async run({ runtime }) {
      harnessOf(runtime)
      await rm(runtime.socket)
      await runtime.until("the socket is there again", async () => {
        const reply = await runtime.raw("GET", "/health").catch(() => undefined)
        return reply?.status === 200
      })
    },
  }),
  {
    name: "socket-that-is-passed",
    covers: ["OVMS-API-491"],
    async run({ runtime, signal }) {
      const harness = await harnessOf(runtime).another()
      try {
        for (const [before, behind] of [
          ["LISTEN_PID=$$ LISTEN_FDS=2", "3</dev/null"],
          ["LISTEN_PID=$$ LISTEN_FDS=1", "3</dev/null"],
        ] as const) {
          const { status, said } = await harness.second(before, behind)
          must(status !== 0 && said.includes("OVM_USAGE"), `what is no socket of its own: ${status}, ${said}`)
        }
        const changed = await leftIn(harness.home, harnessOf(runtime).home)
        must(changed.length === 0, `what was refused has changed something: ${changed.join(", ")}`)
        const others = await listening(harness.socket)
        await chmod(harness.socket, 0o666)
        const served = await harness.start(signal, others).then(
          () => true,
          (thrown) => {
            if (thrown instanceof Failure) return false
            throw thrown
          },
        )
        must(!served, "it serves a socket that others can connect to")
        await rm(harness.socket)
        const own = await listening(harness.socket)
        await chmod(harness.socket, 0o600)
        const { ino } = await stat(harness.socket)
        await harness.start(signal, own)
        await harness.end(signal)
        const left = await stat(harness.socket).catch(() => undefined)
        must(left?.ino === ino, "it has removed or replaced the socket that was passed")
      } finally {
        await harness.close()
      }
    },
  },
  {
    name: "damaged-meanwhile",
    covers: ["OVMS-SEC-004"],
    async run({ runtime, start, keep, folder }) {
      const artifact = guestArtifact(Buffer.from(folder))
      const layout = await writeLayout(join(folder, "layout"), artifact)
      await runtime.reaches(await start({ manifest: layout }), "running")
      const path = join(layout, "blobs/sha256", digestOf(artifact.kernel).slice(7))
      const words = (await readFile(path)).toString("latin1").replaceAll("GUEST-READY", "GUEST-OTHER")
      await chmod(path, 0o644)
      await writeFile(path, Buffer.from(words, "latin1"))
      // One that keeps the bytes that it has verified elsewhere has no need to refuse them.
      const reply = await runtime.raw("POST", "/start", { body: { manifest: layout } })
      if (reply.status >= 400) {
        const { code } = errorOf("POST /start", reply)
        must(code === "OVM_DIGEST_MISMATCH", `a kernel that was changed is refused with ${code}`)
        return
      }
      const text = await runtime.says(keep(JSON.parse(reply.text).instance_id), /GUEST-(READY|OTHER)/)
      must(text.includes("GUEST-READY"), "it booted a kernel that was changed after it had been verified")
    },
  },
]
