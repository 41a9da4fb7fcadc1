// What the client has to do, in JavaScript that Node and Bun run as it is. Each case is a process of its own (run.js).
import assert from "node:assert/strict"
import { createHash, randomBytes } from "node:crypto"
import { EventEmitter, once } from "node:events"
import { createServer } from "node:http"
import { ApiError, connect, execPieces } from "@ovms/client"

const { SOCKET = "", DEEP_SOCKET = "", IMAGE: manifest = "", FOLDER = "" } = process.env

const text = (bytes) => Buffer.from(bytes).toString()

/** The ApiError that `promise` comes to. */
async function refusal(promise) {
  const thrown = await promise.then(
    () => assert.fail("nothing was thrown"),
    (thrown) => thrown,
  )
  assert(thrown instanceof ApiError, `${thrown?.stack}`)
  return thrown
}

/** What of a console there is until `words` are on it. */
async function read(console, words) {
  let seen = ""
  for await (const chunk of console) {
    seen += text(chunk)
    if (seen.includes(words)) return seen
  }
  return assert.fail(`the console ended: ${seen}`)
}

async function running(runtime) {
  const { instance_id } = await runtime.start({ manifest })
  await read(await runtime.logs(instance_id, { follow: true }), "TICK 2")
  return instance_id
}

/** One with an agent that answers. */
async function inLinux(runtime) {
  const overrides = { network: { mode: "none" } }
  const { instance_id } = await runtime.start({ manifest: process.env.LINUX, overrides })
  await runtime.ready(instance_id, { timeoutMs: 200_000 })
  return instance_id
}

/** A file of an archive, without its end. */
function entry(name, bytes) {
  const head = Buffer.alloc(512)
  const put = (words, at) => head.write(words, at)
  put(name, 0)
  put("0000644\0", 100)
  put(`${bytes.length.toString(8).padStart(11, "0")}\0`, 124)
  put("00000000000\0", 136)
  put("        0", 148)
  put("ustar\x0000", 257)
  const sum = head.reduce((all, byte) => all + byte, 0)
  put(`${sum.toString(8).padStart(6, "0")}\0 `, 148)
  return Buffer.concat([head, bytes, new Uint8Array(-bytes.length & 511)])
}

/** A server that is no daemon, on a socket of its own. */
async function stranger(answer, use) {
  const server = createServer(answer)
  const socket = `${FOLDER}/stranger-${process.pid}`
  server.listen(socket)
  await once(server, "listening")
  try {
    await use(connect(socket))
  } finally {
    server.closeAllConnections()
    server.close()
  }
}

export const cases = {
  networks: async () => {
    const runtime = connect(SOCKET)
    assert.deepEqual(await runtime.networks(), [])
    assert.equal((await refusal(runtime.createNetwork({ name: "none" }))).code, "OVM_REQUEST_INVALID")
    assert.equal((await refusal(runtime.removeNetwork("nothing"))).code, "OVM_NETWORK_UNKNOWN")
  },
  sandboxes: async () => {
    const runtime = connect(SOCKET)
    const request = { manifest: "nothing:here", command: ["true"] }
    assert.equal((await refusal(runtime.sandbox(request))).code, "OVM_NAME_UNKNOWN")
    assert.equal((await refusal(runtime.sandboxStream(request))).code, "OVM_NAME_UNKNOWN")
    assert.equal((await refusal(runtime.sandbox({ ...request, input: "abc" }))).code, "OVM_REQUEST_INVALID")
  },
  "a machine's whole life": async () => {
    const runtime = connect(SOCKET)
    assert.deepEqual((await runtime.health()).status, "ok")
    assert.deepEqual((await runtime.explain({ manifest })).vmms[0].findings, [])
    const { instance_id, status } = await runtime.start({ manifest, overrides: { vcpus: 2 } })
    assert(["starting", "running"].includes(status))
    const console = await runtime.logs(instance_id, { follow: true })
    assert.match(await read(console, "TICK 2"), /GUEST-READY/)
    assert.deepEqual(await runtime.pause(instance_id), { status: "paused" })
    const info = await runtime.status(instance_id)
    assert.equal(info.state, "paused")
    assert.equal(info.resources.vcpus, 2)
    assert.deepEqual(await runtime.resume(instance_id), { status: "running" })
    assert((await runtime.list()).some((one) => one.instance_id === instance_id))
    const taken = await runtime.snapshot({ instance_id, tag: `of-${process.pid}` })
    assert.match(taken.snapshot_ref, /^sha256:/)
    assert.equal((await runtime.warm({ manifest, slots: 0 })).slots, 0)
    assert.equal((await refusal(runtime.remove(instance_id))).code, "OVM_STATE_CONFLICT")
    const rest = await runtime.logs(instance_id, { follow: true })
    assert.equal((await runtime.stop({ instance_id, grace_ms: 0 })).status, "stopping")
    // It ends with its machine.
    for await (const chunk of rest) assert(chunk instanceof Uint8Array)
    assert.equal(await runtime.remove(instance_id), undefined)
    assert.equal((await refusal(runtime.status(instance_id))).code, "OVM_INSTANCE_UNKNOWN")
    const told = []
    for await (const event of await runtime.events()) told.push(event)
    const own = told.filter((one) => one.instance_id === instance_id)
    assert.deepEqual([own[0].type, own.at(-1).type], ["starting", "removed"])
    for await (const event of await runtime.events({ after: own.at(-2).id, follow: true })) {
      if (event.instance_id !== instance_id) continue
      assert.deepEqual(event, own.at(-1))
      break
    }
  },

  "the console both ways": async () => {
    const runtime = connect(SOCKET)
    const instance_id = await running(runtime)
    const console = await runtime.attach(instance_id, { attachment: "a", tail: 1 })
    for (const words of ["hello ", "guest\n"])
      await runtime.type(instance_id, { attachment: "a", bytes: Buffer.from(words) })
    assert.doesNotMatch(await read(console, "ECHO [hello guest]"), /GUEST-READY/)
    const typed = runtime.type(instance_id, { attachment: "b", bytes: Buffer.from("no\n") })
    assert.equal((await refusal(typed)).code, "OVM_STATE_CONFLICT")
    await runtime.remove(instance_id, { force: true })
  },

  "children of a machine": async () => {
    const runtime = connect(SOCKET)
    const source = await running(runtime)
    const { instances, timings_ms } = await runtime.fork(source, { count: 2, name: `fork-${process.pid}` })
    assert.deepEqual(
      instances.map(({ name, index }) => [name, index]),
      [0, 1].map((index) => [`fork-${process.pid}-${index}`, index]),
    )
    assert.ok(timings_ms.paused <= timings_ms.total)
    for (const { instance_id, index } of instances) {
      assert.deepEqual((await runtime.status(instance_id)).fork, { source, index })
      await runtime.remove(instance_id, { force: true })
    }
    await assert.rejects(runtime.fork(source, { count: 0 }), { code: "OVM_REQUEST_INVALID" })
    await runtime.remove(source, { force: true })
  },

  "a machine that is made, named and never started": async () => {
    const runtime = connect(SOCKET)
    const made = await runtime.create({ manifest })
    assert.equal(made.status, "stopped")
    const port = await runtime.addPort(made.instance_id, { guest: 80 })
    assert.deepEqual((await runtime.status(made.instance_id)).network.ports, [port])
    assert.deepEqual(await runtime.removePort(made.instance_id, port), port)
    await assert.rejects(runtime.removePort(made.instance_id, port), { code: "OVM_PORT_UNKNOWN" })
    assert.equal(await runtime.rename(made.instance_id, { name: `of-${process.pid}` }), undefined)
    assert.equal((await runtime.status(made.instance_id)).name, `of-${process.pid}`)
    // It has no disk.
    const nothing = await refusal(runtime.commit(made.instance_id, { name: "made:1" }))
    assert.equal(nothing.code, "OVM_UNSUPPORTED")
    await runtime.remove(made.instance_id)
  },

  "what the daemon refuses": async () => {
    const runtime = connect(SOCKET)
    const unknown = await refusal(runtime.status("no/such?id"))
    assert.deepEqual([unknown.code, unknown.class, unknown.status], ["OVM_INSTANCE_UNKNOWN", "absent", 404])
    assert.match(unknown.message, /no\/such\?id/)
    const invalid = await refusal(runtime.start({ manifest, nonsense: 1 }))
    assert.deepEqual([invalid.code, invalid.status], ["OVM_REQUEST_INVALID", 400])
    assert.match(invalid.message, /nonsense/)
    const unsupported = await refusal(runtime.start({ manifest, overrides: { vmm: "toaster" } }))
    assert.deepEqual([unsupported.code, unsupported.status], ["OVM_UNSUPPORTED", 422])
    assert(Array.isArray(unsupported.detail), JSON.stringify(unsupported.detail))
    assert.equal((await refusal(runtime.logs("nobody"))).code, "OVM_INSTANCE_UNKNOWN")
  },

  "nobody answers": async () => {
    for (const socket of [`${FOLDER}/nothing`, `${FOLDER}/${"no".repeat(60)}/nothing`]) {
      const thrown = await refusal(connect(socket).info())
      assert.deepEqual([thrown.code, thrown.status], ["OVM_DAEMON_UNREACHABLE", undefined])
      assert.match(thrown.message, /nothing/)
      assert(thrown.cause instanceof Error)
    }
  },

  "in a Linux commands run, and files go in and out": async () => {
    const runtime = connect(DEEP_SOCKET)
    const instance_id = await inLinux(runtime)
    const said = await runtime.exec(instance_id, { command: ["sh", "-c", "cat; exit 3"], input: "given" })
    assert.deepEqual([said.exit_code, said.stdout], [3, "given"])

    // As it is written, and as it is typed.
    const script = 'while read -r l; do echo "<$l>"; done; exit 4'
    const attachment = crypto.randomUUID()
    const request = { command: ["sh", "-c", script], interactive: true }
    const pieces = execPieces(await runtime.execStream(instance_id, request, { attachment }))
    for (const word of ["one", "two"]) {
      await runtime.execType(instance_id, { attachment, bytes: Buffer.from(`${word}\n`) })
      const { value } = await pieces.next()
      assert.deepEqual([value.channel, text(value.bytes)], ["stdout", `<${word}>\n`])
    }
    await runtime.execType(instance_id, { attachment, bytes: new Uint8Array(), end: true })
    assert.deepEqual(await pieces.next(), { done: true, value: { exit_code: 4 } })

    // A folder with a file that does not fit into any buffer, in pieces of odd sizes.
    const data = randomBytes(3_000_001)
    const tar = Buffer.concat([entry("data", data), new Uint8Array(1024)])
    async function* content() {
      for (let at = 0; at < tar.length; at += 50_003) yield tar.subarray(at, at + 50_003)
    }
    await runtime.writeFiles(instance_id, { path: "/", content: content() })
    const sum = createHash("sha256").update(data).digest("hex")
    assert.equal(
      (await runtime.exec(instance_id, { command: ["sha256sum", "/data"] })).stdout,
      `${sum}  /data\n`,
    )
    const chunks = []
    for await (const chunk of await runtime.readFiles(instance_id, { path: "/data" })) chunks.push(chunk)
    const back = Buffer.concat(chunks)
    const begin = back.indexOf(data.subarray(0, 64))
    assert(begin > 0 && back.subarray(begin, begin + data.length).equals(data))

    // What the daemon refuses in the middle, what the caller breaks off, and what is aborted.
    const nowhere = runtime.writeFiles(instance_id, { path: "/nowhere/at/all", content: content() })
    assert.equal((await refusal(nowhere)).code, "OVM_FILE_UNREADABLE")
    const reason = new Error("enough")
    async function* broken() {
      yield tar.subarray(0, 60_000)
      throw reason
    }
    const broke = runtime.writeFiles(instance_id, { path: "/broken", rename: true, content: broken() })
    assert.equal(await broke.catch((thrown) => thrown), reason)
    const aborter = new AbortController()
    async function* slow() {
      yield tar.subarray(0, 60_000)
      aborter.abort(reason)
      await once(new EventEmitter(), "never", { signal: aborter.signal }).catch(() => {})
    }
    const { signal } = aborter
    const aborted = runtime.writeFiles(instance_id, {
      path: "/aborted",
      rename: true,
      content: slow(),
      signal,
    })
    assert.equal(await aborted.catch((thrown) => thrown), reason)
    const left = await runtime.exec(instance_id, { command: ["ls", "/broken", "/aborted"] })
    assert.equal(left.stdout, "")
    await runtime.remove(instance_id, { force: true })
  },

  "a socket whose path is too long for the kernel": async () => {
    assert(DEEP_SOCKET.length > 107)
    const [deep, short] = await Promise.all([connect(DEEP_SOCKET).info(), connect(SOCKET).info()])
    assert.equal(deep.pid, short.pid)
  },

  "a console that is left closes its connection": async () => {
    const runtime = connect(SOCKET)
    const instance_id = await running(runtime)
    // More than the daemon serves at a time.
    for (let left = 0; left < 140; left++)
      for await (const chunk of await runtime.logs(instance_id, { follow: true })) {
        assert(chunk.length > 0)
        break
      }
    await runtime.remove(instance_id, { force: true })
  },

  "an abort is thrown as its reason": async () => {
    const runtime = connect(SOCKET)
    const reason = new Error("enough")
    assert.equal(
      await runtime.health({ signal: AbortSignal.abort(reason) }).catch((thrown) => thrown),
      reason,
    )
    const instance_id = await running(runtime)
    const aborter = new AbortController()
    const console = await runtime.logs(instance_id, { follow: true, signal: aborter.signal })
    const thrown = await (async () => {
      for await (const chunk of console) if (chunk.length > 0) aborter.abort(reason)
    })().catch((thrown) => thrown)
    assert.equal(thrown, reason)
    await runtime.remove(instance_id, { force: true })
    const late = new AbortController()
    await stranger(
      () => late.abort(reason),
      async (hanging) => {
        const waiting = hanging.info({ signal: late.signal })
        assert.equal(await waiting.catch((thrown) => thrown), reason)
      },
    )
  },

  "answers that are none": async () => {
    const answers = [
      [200, "<html>", "OVM_INTERNAL", undefined],
      [502, "<html>", "OVM_INTERNAL", 502],
      [500, "null", "OVM_INTERNAL", 500],
      [400, '{"errors":[{"code":"OVM_NO_SUCH_CODE","message":"x"}]}', "OVM_INTERNAL", 400],
      [
        409,
        '{"errors":[{"code":"OVM_STATE_CONFLICT","message":"x","detail":[1]}]}',
        "OVM_STATE_CONFLICT",
        409,
      ],
    ]
    for (const [status, body, code, told] of answers)
      await stranger(
        (_, outgoing) => outgoing.writeHead(status).end(body),
        async (runtime) => {
          const thrown = await refusal(runtime.info())
          assert.deepEqual([thrown.code, thrown.status], [code, told])
          if (code === "OVM_STATE_CONFLICT") assert.deepEqual(thrown.detail, [1])
          else assert.match(thrown.message, /\/info/)
        },
      )
    await stranger(
      (_, outgoing) => {
        outgoing.writeHead(200, { "content-length": 100 }).write('{"version":')
        setTimeout(() => outgoing.destroy(), 20)
      },
      async (runtime) => assert.equal((await refusal(runtime.info())).code, "OVM_DAEMON_UNREACHABLE"),
    )
  },

  "a daemon that is killed under a console": async () => {
    const runtime = connect(SOCKET)
    const instance_id = await running(runtime)
    const { pid } = await runtime.info()
    const console = await runtime.logs(instance_id, { follow: true })
    const thrown = await refusal(
      (async () => {
        for await (const chunk of console) if (chunk.length > 0) process.kill(pid, "SIGKILL")
      })(),
    )
    assert.deepEqual([thrown.code, thrown.status], ["OVM_DAEMON_UNREACHABLE", undefined])
    assert.equal((await refusal(runtime.health())).code, "OVM_DAEMON_UNREACHABLE")
  },
}
