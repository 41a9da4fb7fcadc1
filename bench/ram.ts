// RAM on the wire: how fast it is compressed and inflated, beside zstd and lz4 by command line. `make bench-ram`.
import { readFileSync } from "node:fs"
import { mkdtemp, open, rm, stat } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { compressRam } from "../packages/ovm/src/ram/compress.ts"
import { inflateRam } from "../packages/ovm/src/ram/inflate.ts"
import { duration, OVM, output } from "./programs.ts"
import { inTurns, report } from "./turns.ts"

const ROUNDS = 7
const MIB = 1 << 20
const SIZE = 256 * MIB
const PAGE = 4096

const operation = process.argv[2]
if (operation) await work(operation, process.argv.slice(3))
else await compareAll()

/** In a process of its own, so that its peak memory can be told. */
async function work(operation: string, [compression, source = "", into = ""]: readonly string[]) {
  if (operation === "nothing") return console.log(peak())
  if (compression !== "zstd" && compression !== "lz4") throw new Error(`what is ${compression}?`)
  if (operation === "compress") await compressRam(source, { into, compression })
  else {
    const made = JSON.parse(await Bun.file(`${source}.json`).text())
    const table = new Uint8Array(await Bun.file(`${source}.table`).arrayBuffer())
    await inflateRam(source, { ...made, into, compression, ...(operation === "inflate" && { table }) })
  }
  console.log(peak())
}

/** Of this process, in MiB. */
function peak(): number {
  const [, kib = Number.NaN] = /VmHWM:\s+(\d+) kB/.exec(readFileSync("/proc/self/status", "utf8")) ?? []
  return Math.round(Number(kib) / 1024)
}

async function compareAll() {
  const folder = await mkdtemp(join(tmpdir(), "ovm-bench-ram-"))
  try {
    const ram = join(folder, "ram")
    const used = await writeRam(ram)
    console.log(`RAM of ${SIZE / MIB} MiB, ${Math.round((100 * used) / SIZE)} % of its pages in use`)
    for (const compression of ["zstd", "lz4"] as const) await compare(folder, ram, compression)
  } finally {
    await rm(folder, { recursive: true })
  }
}

async function compare(folder: string, ram: string, compression: "zstd" | "lz4") {
  const theirs = join(folder, `theirs.${compression}`)
  const name = compression === "zstd" ? "zstd -3 -T2" : "lz4"
  const packing = compression === "zstd" ? ["zstd", "-q", "-f", "-3", "-T2"] : ["lz4", "-q", "-f"]
  const ours = join(folder, `ours.${compression}`)
  const made = await compressRam(ram, { into: ours, compression })
  const facts = { ref: made.blob.digest, blobSize: made.blob.size, size: made.size, digest: made.digest }
  await Bun.write(`${ours}.json`, JSON.stringify(facts))
  await Bun.write(`${ours}.table`, made.table)

  const out = join(folder, "out")
  const timed = async (run: (into: string) => Promise<unknown>) => {
    await rm(out, { force: true })
    const began = performance.now()
    await run(out)
    return performance.now() - began
  }
  const packTool = [...packing, ram, ...(compression === "zstd" ? ["-o", theirs] : [theirs])]
  const [pack = Number.NaN, packTheirs = Number.NaN] = await inTurns(
    ROUNDS,
    () => timed((into) => compressRam(ram, { into, compression })),
    () => duration(packTool),
  )
  report(`${compression} compress`, pack, { name, took: packTheirs }, 1)

  const unpackTool = [
    compression,
    "-q",
    "-f",
    "-d",
    theirs,
    ...(compression === "zstd" ? ["-o", out] : [out]),
  ]
  const options = { ...facts, compression }
  const [unpack = Number.NaN, plain = Number.NaN, unpackTheirs = Number.NaN] = await inTurns(
    ROUNDS,
    () => timed((into) => inflateRam(ours, { ...options, into, table: made.table })),
    () => timed((into) => inflateRam(ours, { ...options, into })),
    () => duration(unpackTool),
  )
  report(
    `${compression} inflate, verified by table`,
    unpack,
    { name: `${compression} -d`, took: unpackTheirs },
    1,
  )
  report(
    `${compression} inflate without a table`,
    plain,
    { name: `${compression} -d`, took: unpackTheirs },
    2,
  )

  const size = (await stat(theirs)).size
  const ratio = made.blob.size / size
  console.log(
    `${compression} blob: ${made.blob.size} bytes and a table of ${made.table.byteLength}, one stream: ${size}, ratio ${ratio.toFixed(3)} (bound 1.05: ${ratio <= 1.05 ? "holds" : "MISSED"})`,
  )
  for (const [operation, from] of [
    ["nothing", ""],
    ["compress", ram],
    ["inflate", ours],
    ["plain", ours],
  ] as const) {
    await rm(out, { force: true })
    const argv = [process.execPath, import.meta.path, operation, compression, from, out]
    console.log(`${compression} ${operation}: peak memory of the process ${output(argv).trim()} MiB`)
  }
}

/**
 * Runs of pages of a program, which is what a guest's memory mostly is, between runs of nothing. Gives the bytes in
 * use.
 */
async function writeRam(path: string): Promise<number> {
  const program = new Uint8Array(await Bun.file(OVM).arrayBuffer())
  await using file = await open(path, "w")
  await file.truncate(SIZE)
  // A multiplicative generator with the constants of MINSTD, so that every run has the same data.
  let seed = 1
  const random = (below: number) => {
    seed = (seed * 48271) % 2147483647
    return seed % below
  }
  let used = 0
  let taken = 0
  for (let page = 0; page < SIZE / PAGE; ) {
    const run = Math.min(8 + random(600), SIZE / PAGE - page)
    if (random(100) < 37) {
      const from = taken % (program.length - 700 * PAGE)
      await file.write(program, from, run * PAGE, page * PAGE)
      taken += run * PAGE
      used += run * PAGE
    }
    page += run
  }
  return used
}
