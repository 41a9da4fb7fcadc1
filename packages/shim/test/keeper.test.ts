import { afterAll, beforeAll, describe, expect, setDefaultTimeout, test } from "bun:test"
import { execFileSync } from "node:child_process"
import {
  createWriteStream,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  writeFileSync,
} from "node:fs"
import { join } from "node:path"
import { processesIn } from "@ovms/testkit/processes.ts"
import { Random } from "@ovms/testkit/random.ts"
import { until } from "@ovms/testkit/until.ts"
import { keptConsole, SHIPPED, Workshop } from "./keeper.testing.ts"

// The program itself, with sanitizers, and as it is shipped where it is measured.
setDefaultTimeout(240_000)

const MIB = 1 << 20

let workshop: Workshop
beforeAll(() => {
  workshop = new Workshop()
})
afterAll(() => workshop[Symbol.dispose]())

test("keeps every byte of the last two segments, in whatever pieces and of whatever size they come", async () => {
  const random = new Random(1)
  for (let round = 0; round < 8; round++) {
    const segment = [1, 7, 512, 4096, 65_535, 65_536, 65_537, 300_000][round] ?? 1
    const pieces = Array.from({ length: 40 }, () => {
      // A segment is a file: of a thousand at a time, one more shows nothing.
      const most = Math.min([2, 100, 5000, 70_000][random.below(4)] ?? 2, 1000 * segment)
      const piece = Buffer.alloc(random.below(most))
      // With NULs in it, and without a newline as often as not.
      for (let at = 0; at < piece.length; at++) piece[at] = random.below(256) & random.below(256)
      return piece
    })
    const all = Buffer.concat(pieces)
    const fifo = join(workshop.root, `fifo-${round}`)
    execFileSync("mkfifo", [fifo])
    const { directory, ended, text } = workshop.start(["cat", fifo], { segment })
    const into = createWriteStream(fifo)
    for (const piece of pieces) {
      if (piece.length > 0 && !into.write(piece)) await new Promise((resolve) => into.once("drain", resolve))
      if (random.below(4) === 0) await Bun.sleep(1)
    }
    into.end()
    expect(await ended).toEqual({ code: 0, said: "" })
    const { start: from, bytes, sizes } = keptConsole(directory)
    expect(sizes.length).toBeLessThanOrEqual(2)
    expect(Math.max(...sizes)).toBeLessThanOrEqual(segment)
    expect(from % segment).toBe(0)
    expect(all.subarray(from).equals(bytes)).toBe(true)
    expect(text("exit")).toBe("0  \n")
  }
})

test("a console that goes on is one stream with what was there, and no longer than one", async () => {
  const before = { "console.0": "a".repeat(100), "console.100": "b".repeat(60) }
  const note = (at: number) => {
    const bytes = Buffer.alloc(16)
    bytes.writeBigUInt64LE(BigInt(at))
    bytes.writeBigUInt64LE(1_700_000_000_000n, 8)
    return bytes
  }
  // The last note was cut in the middle.
  const files = { ...before, "times.100": Buffer.concat([note(100), note(130).subarray(0, 5)]) }
  const { directory, ended } = workshop.start(["printf", "c".repeat(70)], { segment: 100, start: 100, files })
  expect(await ended).toEqual({ code: 0, said: "" })
  expect(
    readdirSync(directory)
      .filter((name) => /^(console|times)\.\d/.test(name))
      .sort(),
  ).toEqual(["console.100", "console.200", "times.100", "times.200"])
  expect(keptConsole(directory).bytes.toString()).toBe("b".repeat(60) + "c".repeat(70))
  const noted = readFileSync(join(directory, "times.100"))
  expect(noted.length).toBe(32)
  expect([noted.readBigUInt64LE(), noted.readBigUInt64LE(16)]).toEqual([100n, 160n])
  // The limit was another one before.
  const smaller = workshop.start(["printf", "d".repeat(70)], { segment: 50, start: 100, files: before })
  expect(await smaller.ended).toEqual({ code: 0, said: "" })
  expect(keptConsole(smaller.directory).bytes.toString()).toBe("a".repeat(100) + "d".repeat(70))
})

test("a gigabyte without a newline costs neither memory nor disk", async () => {
  const { directory, pid, ended } = workshop.start(["head", "-c", String(1 << 30), "/dev/zero"], {
    program: SHIPPED,
    segment: MIB,
  })
  let [memory, disk] = [0, 0]
  for (let over = false; !over; ) {
    over = await Promise.race([ended.then(() => true), Bun.sleep(20).then(() => false)])
    const status = existsSync(`/proc/${pid}/status`) ? readFileSync(`/proc/${pid}/status`, "utf8") : ""
    memory = Math.max(memory, Number(/VmHWM:\s+(\d+)/.exec(status)?.[1] ?? 0))
    disk = Math.max(disk, sizeOf(directory))
  }
  expect(memory).toBeGreaterThan(0)
  expect(memory).toBeLessThanOrEqual(1024)
  expect(disk).toBeLessThanOrEqual(2 * MIB)
  expect(keptConsole(directory).start).toBe((1 << 30) - 2 * MIB)
})

test("whoever finds a byte of the console finds when it came", async () => {
  const size = (path: string) => statSync(path, { throwIfNoEntry: false })?.size ?? 0
  for (let round = 0; round < 80; round++) {
    const { directory, ended } = workshop.start(["printf", "x"])
    while (size(join(directory, "console.0")) === 0);
    expect(size(join(directory, "times.0"))).toBeGreaterThan(0)
    await ended
  }
})

/** Bytes of its console; a segment may go meanwhile. */
function sizeOf(directory: string): number {
  const names = readdirSync(directory).filter((name) => /^console\.\d+$/.test(name))
  const found = names.map((name) => statSync(join(directory, name), { throwIfNoEntry: false })?.size ?? 0)
  return found.reduce((all, size) => all + size, 0)
}

test("when its bytes came is noted, beside each segment, and never more of it than of the console", async () => {
  const script =
    "i=0; while [ $i -lt 8 ]; do printf 'line %d\\n' $i; sleep 0.15; i=$((i + 1)); done; head -c 30000 /dev/zero"
  const before = Date.now()
  const { directory, ended } = workshop.start(["sh", "-c", script], { segment: 20_000 })
  expect((await ended).code).toBe(0)
  const names = readdirSync(directory).filter((name) => name.startsWith("times."))
  expect(names.sort()).toEqual(["times.0", "times.20000"])
  const notes = readFileSync(join(directory, "times.0"))
  const offsets = Array.from({ length: notes.length / 16 }, (_, at) => Number(notes.readBigUInt64LE(at * 16)))
  const times = Array.from({ length: notes.length / 16 }, (_, at) =>
    Number(notes.readBigUInt64LE(at * 16 + 8)),
  )
  expect(offsets.slice(0, 8)).toEqual([0, 7, 14, 21, 28, 35, 42, 49])
  for (const [index, time] of times.entries())
    expect(time - (times[index - 1] ?? before)).toBeGreaterThanOrEqual(0)
  expect((times[7] ?? 0) - (times[0] ?? 0)).toBeGreaterThan(900)
})

test("an idle one takes less than 300 KiB", async () => {
  const { directory, pid, kill } = workshop.start(["sleep", "60"], { program: SHIPPED })
  await until("its VMM", () => processesIn(directory), {
    is: (all) => all.some((line) => line.startsWith("sleep")),
  })
  const pss = /^Pss:\s+(\d+) kB$/m.exec(readFileSync(`/proc/${pid}/smaps_rollup`, "utf8"))?.[1]
  expect(Number(pss)).toBeLessThanOrEqual(300)
  await kill()
})

test("both outputs at once block nobody, whatever signals come", async () => {
  const script =
    "head -c 3000000 /dev/zero | tr '\\0' e >&2 & head -c 3000000 /dev/zero | tr '\\0' o; wait; exit 5"
  const { directory, pid, ended, text } = workshop.start(["sh", "-c", script], { segment: MIB, words: 1000 })
  for (let times = 0; times < 200; times++) {
    for (const signal of ["SIGCHLD", "SIGTERM", "SIGHUP", "SIGPIPE"] as const)
      if (processesIn(directory).some((line) => line.startsWith("sh"))) process.kill(pid, signal)
    await Bun.sleep(0)
  }
  expect(await ended).toEqual({ code: 0, said: "" })
  expect(text("exit")).toBe("5  \n")
  expect(text("stderr")).toBe("e".repeat(1000))
  const { start: from, bytes } = keptConsole(directory)
  expect(from + bytes.length).toBe(3_000_000)
})

test("a status that looks like a signal's is told apart from one", async () => {
  for (const [end, status] of [
    ["exit 201", "201 exit\n"],
    ["exit 137", "137 exit\n"],
    ["exit 128", "128\n"],
    ["kill -9 $$", "137\n"],
  ] as const) {
    const { ended, text } = workshop.start(["sh", "-c", end])
    expect((await ended).code).toBe(0)
    expect(text("exit")).toBe(status)
  }
})

test("whoever outlives the VMM with its outputs is not waited for", async () => {
  const { directory, pid, ended, text } = workshop.start(["sh", "-c", "echo hello; sleep 60 & exit 3"])
  expect((await ended).code).toBe(0)
  expect(text("exit")).toBe("3  \n")
  expect(keptConsole(directory).bytes.toString()).toBe("hello\n")
  process.kill(-pid, "SIGKILL")
})

describe("where something cannot be had", () => {
  test("the VMM has its way without a console, and its status is left", async () => {
    // Files of at most a kibibyte or half of one; a shell counts in either.
    const script = "head -c 100000 /dev/zero | tr '\\0' o; echo words >&2; exit 4"
    const { directory, ended, text } = workshop.start(["sh", "-c", script], { limit: "-f 1", segment: MIB })
    expect(await ended).toEqual({ code: 0, said: "" })
    expect([512, 1024]).toContain(keptConsole(directory).bytes.length)
    expect(text("stderr")).toBe("words\n")
    expect(text("exit")).toBe("4  \n")
  })

  test("descriptors: no VMM, and that is said", async () => {
    for (const most of [6, 7, 8, 9, 10, 11, 12]) {
      const { ended, text } = workshop.start(["true"], { limit: `-n ${most}`, program: SHIPPED })
      expect((await ended).code).toBe(1)
      expect(text("exit")).toBe("126\n")
      if (most > 8) expect(text("stderr")).toBe("ovm-keeper: true: No file descriptors available\n")
    }
  })

  test("a program: as a shell says it", async () => {
    for (const [program, status, why] of [
      ["/nowhere/vmm", "127\n", "No such file or directory"],
      [workshop.root, "126\n", "Permission denied"],
    ] as const) {
      const { ended, text } = workshop.start([program])
      expect(await ended).toEqual({ code: 0, said: "" })
      expect(text("exit")).toBe(status)
      expect(text("stderr")).toBe(`ovm-keeper: ${program}: ${why}\n`)
    }
  })

  test("its folder: it goes on until the VMM ends", async () => {
    const go = join(workshop.root, "go")
    execFileSync("mkfifo", [go])
    const { directory, ended } = workshop.start(["sh", "-c", `read x <${go}; echo more; exit 0`], {
      segment: 4,
    })
    await until("its VMM", () => existsSync(join(directory, "pid")))
    rmSync(directory, { recursive: true })
    writeFileSync(go, "on\n")
    expect(await ended).toEqual({ code: 0, said: "" })
    expect(existsSync(directory)).toBe(false)
  })

  test("a place for its files: pipes and links are neither waited for nor followed", async () => {
    const outside = join(workshop.root, "outside")
    const script = `mkfifo console.8; ln -s ${outside} console.16; printf 0123456789abcdefghijklmn; exit 0`
    const { ended, text } = workshop.start(["sh", "-c", script], { segment: 8 })
    expect(await ended).toEqual({ code: 0, said: "" })
    expect(text("console.0")).toBe("01234567")
    expect(existsSync(outside)).toBe(false)
  })
})

test("what is no request starts nothing", async () => {
  const random = new Random(1)
  const requests = [
    "",
    "\0",
    "1000",
    "1000\0",
    "1000\x000\x0065536\0\0\x000\0\0",
    "0\x000\x0065536\0\0\x000\0\0true\0",
    "-1\x000\x0065536\0\0\x000\0\0true\0",
    "99999999999999999999999\x000\x0065536\0\0\x000\0\0true\0",
    "1000\x000\x0065536\0\0\x000\0\0true",
    "1000\0x\x0065536\0\0\x000\0\0true\0",
    "1000x\x000\x0065536\0\0\x000\0\0true\0",
  ].map((text) => Buffer.from(text))
  for (let round = 0; round < 60; round++) {
    const noise = Buffer.alloc(1 + random.below(200))
    for (let at = 0; at < noise.length; at++) noise[at] = random.below(3) === 0 ? 0 : 0x61 + random.below(26)
    requests.push(noise)
  }
  for (const request of requests) {
    const { directory, ended } = workshop.start([], {}, request)
    const { code, said } = await ended
    expect([code, said]).toEqual([2, "ovm-keeper: started by ovm only, for one machine\n"])
    expect(readdirSync(directory).sort()).toEqual(["held", "program", "request"])
  }
})
