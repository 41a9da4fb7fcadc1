import { afterAll, beforeAll, describe, expect, test } from "bun:test"
import { randomBytes } from "node:crypto"
import { cp, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { type Pipe, startPipe } from "@ovms/testkit/pipe.ts"
import { type RegistryServer, registryMissing, startRegistry } from "@ovms/testkit/registry.ts"
import { copyGraph } from "../../content/copy.ts"
import type { Descriptor } from "../../content/descriptor.ts"
import { digestOf } from "../../content/digest.ts"
import { openLayout } from "../../content/layout/store.ts"
import { OCI_MANIFEST } from "../../content/manifest.ts"
import { MemoryStore } from "../../content/memory.ts"
import { manifestOver, pushBytes } from "../../content/store.testing.ts"
import { limiter } from "../../files/limit.ts"
import type { HttpLimits } from "../http/limits.ts"
import { HttpStore } from "../http-store.ts"
import { Transport, type TransportOptions } from "../transport/transport.ts"

/** How many random sequences are tried, and how many at a time. */
const RUNS = Number(process.env.OVM_PROPERTY_RUNS ?? 200)
const AT_A_TIME = 6
const SIZES = { rangeBytes: 32 * 1024 }
const IMPATIENT = { ...SIZES, attempts: 3, backoffMs: 1, stallMs: 150, responseMs: 500 }
const COPY = { largeBytes: 64 * 1024 }

interface Transfer {
  readonly direction: "pull" | "push"
  /** Of the layout. */
  readonly root: string
  readonly host: string
  readonly repository: string
  readonly image: Descriptor
}

/** One copy between a layout and a repository; also what the processes run that are killed. */
async function transfer(
  { direction, root, host, repository, image }: Transfer,
  limits: Partial<HttpLimits>,
  options: TransportOptions = {},
) {
  const transport = new Transport(host, { limits, ...options })
  const remote = new HttpStore(transport, repository)
  await using store = await openLayout(root, { create: true, durable: false })
  if (direction === "pull") await copyGraph(remote, image, store, COPY)
  else await copyGraph(store, image, remote, COPY)
}

const CHILD = `
  import { openLayout } from ${JSON.stringify(join(import.meta.dir, "../../content/layout/store.ts"))}
  import { copyGraph } from ${JSON.stringify(join(import.meta.dir, "../../content/copy.ts"))}
  import { HttpStore } from ${JSON.stringify(join(import.meta.dir, "../http-store.ts"))}
  import { Transport } from ${JSON.stringify(join(import.meta.dir, "../transport/transport.ts"))}
  const COPY = ${JSON.stringify(COPY)}
  ${transfer.toString()}
  const call = JSON.parse(process.argv.at(-1))
  await transfer(...call).then(() => process.exit(0), () => process.exit(1))`

/** Writes it as one file into `folder`: each of the processes would read and translate a hundred else. */
async function bundled(folder: string): Promise<string> {
  const source = join(folder, "child.ts")
  await writeFile(source, CHILD)
  await Bun.build({ entrypoints: [source], outdir: folder, target: "bun" })
  return join(folder, "child.js")
}

describe.skipIf(registryMissing !== undefined)("whatever happens to pulls and pushes", () => {
  let real: RegistryServer
  let folder: string
  let program: string
  let image: Descriptor
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "ovm-transfer-"))
    program = await bundled(folder)
    real = await startRegistry()
    await using store = await openLayout(join(folder, "source"), { create: true })
    const layers = await Promise.all(
      [300_000, 200_001, 20_000].map((size) => pushBytes(store, randomBytes(size))),
    )
    image = await pushBytes(store, manifestOver(layers), OCI_MANIFEST)
    await copyGraph(store, image, new HttpStore(new Transport(real.host), "source"))
  })
  afterAll(async () => {
    await real.stop()
    await rm(folder, { recursive: true })
  }, 60_000)

  /** A process that transfers, killed after random bytes, or not. */
  async function mishap(pipe: Pipe, wanted: Transfer, random: () => number): Promise<void> {
    pipe.mishap = () => {
      const kind = random()
      if (kind < 0.4) return { cutAfter: random() * 300_000 }
      return kind < 0.45 ? { silentAfter: random() * 300_000 } : {}
    }
    const options: TransportOptions = {
      ...(random() < 0.5 && { chunkBytes: 16 * 1024 }),
      direct: random() < 0.7,
    }
    const call = [{ ...wanted, host: pipe.host }, IMPATIENT, options]
    const child = Bun.spawn([process.execPath, program, JSON.stringify(call)], {
      stdio: ["ignore", "ignore", "ignore"],
    })
    const fatal = random() < 0.8 ? pipe.down + pipe.up + random() * 560_000 : Number.POSITIVE_INFINITY
    const timer = setInterval(() => {
      if (pipe.down + pipe.up >= fatal) child.kill("SIGKILL")
    }, 1)
    await child.exited
    clearInterval(timer)
  }

  async function sequence(run: number): Promise<void> {
    const random = generator(run)
    const direction = random() < 0.6 ? "pull" : "push"
    const root = join(folder, `run-${run}`)
    const repository = direction === "pull" ? "source" : `run-${run}`
    if (direction === "push") await cp(join(folder, "source"), root, { recursive: true })
    const wanted: Transfer = { direction, root, host: real.host, repository, image }
    await using pipe = await startPipe(real.host)
    try {
      for (let left = 1 + Math.floor(random() * 2); left > 0; left--) {
        await mishap(pipe, wanted, random)
        await expectSound(root)
      }
      await transfer(wanted, SIZES)
      await expectSound(root)
      if (direction === "pull") expect(await readdir(join(root, "blobs/sha256"))).toHaveLength(4)
      // What the registry took is verified on its way back.
      else await copyGraph(new HttpStore(new Transport(real.host), repository), image, new MemoryStore())
      await rm(root, { recursive: true })
    } catch (error) {
      throw new Error(`sequence ${run} (${direction})`, { cause: error })
    }
  }

  test(`${RUNS} random sequences of kills and cut connections end in whole stores`, async () => {
    const limited = limiter(AT_A_TIME)
    await Promise.all(Array.from({ length: RUNS }, (_, run) => limited(() => sequence(run))))
    // Some 500 processes: on a busy host many times the minute that they take.
  }, 1_200_000)
})

/** No blob of the layout is anything but what its name says, at any time. */
async function expectSound(root: string): Promise<void> {
  const blobs = join(root, "blobs/sha256")
  for (const name of await readdir(blobs).catch(() => []))
    expect(digestOf(await readFile(join(blobs, name)))).toBe(`sha256:${name}`)
}

/** Numbers from 0 to 1, the same ones for the same seed (mulberry32). */
function generator(seed: number): () => number {
  let state = seed * 0x9e3779b9
  return () => {
    state = (state + 0x6d2b79f5) | 0
    let value = Math.imul(state ^ (state >>> 15), 1 | state)
    value = (value + Math.imul(value ^ (value >>> 7), 61 | value)) ^ value
    return ((value ^ (value >>> 14)) >>> 0) / 4294967296
  }
}
