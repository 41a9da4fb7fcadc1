import { afterAll, beforeAll, expect, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { readdirSync, readFileSync } from "node:fs"
import { join } from "node:path"
import type { Check } from "../src/check.ts"
import { fail, skip } from "../src/check.ts"
import { htmlReport } from "../src/report/html.ts"
import { junitReport } from "../src/report/junit.ts"
import { textReport } from "../src/report/text.ts"
import { exitStatus, isPassed, type Run, tallyOf } from "../src/result.ts"
import { runChecks } from "../src/run.ts"
import { Bed, conformance, WRAPPER } from "./bed.ts"

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

const HOSTILE = `<script>alert(1)</script> "'& \u0000\u001b[31m`
const check = (name: string, run: Check<undefined>["run"]): Check<undefined> => ({
  name,
  profile: "core",
  covers: ["OVMS-MAN-001"],
  run,
})
const CHECKS = [
  check("passes", async () => {}),
  check("fails", async () => fail(HOSTILE)),
  check("skips", async () => skip("nothing there")),
  check("breaks", async () => {
    throw new TypeError("a fault of the suite")
  }),
  check(
    "waits",
    (_, { signal }) =>
      new Promise((_, reject) => signal.addEventListener("abort", () => reject(signal.reason))),
  ),
]

async function ran(checks: readonly Check<undefined>[]): Promise<Run> {
  const results = await runChecks(checks, undefined, { limitMs: 100, jobs: 2 })
  return {
    subject: HOSTILE,
    kind: "wrapper",
    specification: "0.1",
    suite: "0",
    started: "2026-01-01T00:00:00Z",
    milliseconds: 1,
    results,
  }
}

test("each verdict is told apart, in the order of the checks (OVMS-CNF-001)", async () => {
  const { results } = await ran(CHECKS)
  expect(results.map(({ verdict }) => verdict)).toEqual(["pass", "fail", "skip", "error", "fail"])
  expect(results[3]?.reason).toContain("a fault of the suite")
  expect(results[4]?.reason).toBe("it took longer than 0.1 s")
  expect(exitStatus(results)).toBe(2)
  expect(exitStatus(results.slice(0, 3))).toBe(1)
  expect(exitStatus(results.filter(({ verdict }) => verdict === "pass" || verdict === "skip"))).toBe(0)
  expect(exitStatus(results.filter(({ verdict }) => verdict === "skip"))).toBe(1)
})

test("a profile is passed if nothing of it fails, and no more is skipped than passes (OVMS-CNF-022)", async () => {
  const { results } = await ran(CHECKS)
  const [passes, fails, skips, breaks] = results
  const passed = (...some: (typeof passes)[]) => isPassed(tallyOf(some.flatMap((one) => one ?? [])))
  expect([passed(passes), passed(passes, skips), passed(passes, passes, skips)]).toEqual([true, true, true])
  expect([passed(skips), passed(passes, skips, skips)]).toEqual([false, false])
  expect([passed(passes, fails), passed(passes, breaks), passed()]).toEqual([false, false, false])
})

test("what an implementation says cannot break out of a report", async () => {
  const run = await ran(CHECKS)
  expect(htmlReport(run)).not.toContain("<script")
  const xml = junitReport(run)
  expect(xml).not.toContain("<script")
  expect(xml).not.toContain("\u0000")
  // Python's parser is a strict one.
  const parse =
    "import sys, xml.dom.minidom as m; print(len(m.parse(sys.stdin).getElementsByTagName('testcase')))"
  expect(execFileSync("python3", ["-c", parse], { input: xml }).toString().trim()).toBe("5")
  expect(textReport(run)).toContain("1 passed, 2 failed, 1 skipped, 1 errors")
})

test("every form of the report is written, by Node and by Bun alike", async () => {
  const texts = []
  for (const runtime of ["node", process.execPath]) {
    const folder = join(bed.folder, runtime.replaceAll("/", "-"))
    const { status } = await conformance(
      ["wrapper", WRAPPER, "--only", "valid/reference", "--report", folder, "--name", "x"],
      runtime,
    )
    expect(status).toBe(0)
    expect(readdirSync(folder).sort()).toEqual([
      "core.svg",
      "report.html",
      "report.json",
      "report.txt",
      "report.xml",
    ])
    texts.push(readFileSync(join(folder, "report.txt"), "utf8").replace(/in [\d.]+ s/, ""))
    expect(readFileSync(join(folder, "core.svg"), "utf8")).toContain("OVMS 0.1 core: passed")
  }
  expect(texts[0]).toBe(texts[1])
})

test("it says what it has", async () => {
  expect((await conformance(["--help"])).stdout).toStartWith("Usage: ovms-conformance")
  expect((await conformance(["-V"])).stdout).toBe("ovms-conformance 0.1.0, OVMS 0.1\n")
  const { stdout } = await conformance(["--list"])
  expect(stdout).toContain("wrapper\tcore\tvector/invalid/manifest-")
  const listed = async (...words: string[]) =>
    (await conformance([...words, "--list"])).stdout
      .trimEnd()
      .split("\n")
      .map((line) => line.split("\t"))
  const snapshots = await listed("runtime", "--profile", "snapshot")
  expect(new Set(snapshots.map(([kind, profile]) => `${kind} ${profile}`))).toEqual(
    new Set(["runtime snapshot"]),
  )
  // A whole name is one check; of a part, all that have it.
  const names = async (...words: string[]) => (await listed("runtime", ...words)).map(([, , name]) => name)
  expect(await names("--only", "runtime/stop,runtime/boots")).toEqual(["runtime/boots", "runtime/stop"])
  expect((await names("--only", "runtime/sto")).length).toBeGreaterThan(1)
  expect(await names("--only", "runtime/boots", "--only", "OVMS-API-044")).toEqual([
    "runtime/boots",
    "runtime/stop-of-the-starting",
  ])
})
