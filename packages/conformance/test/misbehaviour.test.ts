import { afterAll, beforeAll, expect, test } from "bun:test"
import { execFileSync } from "node:child_process"
import { readdirSync } from "node:fs"
import { tmpdir } from "node:os"
import { Bed, conformance, report, WRAPPER } from "./bed.ts"

// OVMS-CNF-001, OVMS-CNF-002, OVMS-CNF-003: implementations that misbehave get a verdict, and the rest goes on.

let bed: Bed
beforeAll(async () => {
  bed = await Bed.create()
})
afterAll(() => bed[Symbol.asyncDispose]())

/** Two checks, of which the first document's is misbehaved at. */
const TWO = ["--only", "vector/valid/reference-ta", "--jobs", "1", "--limit", "5"]
const FIRST = 'case $(cat "$3") in *@sha256*) MISBEHAVE ;; esac\nexec "$REAL" "$@"'

async function misbehaving(name: string, words: string) {
  const body = FIRST.replace("MISBEHAVE", () => words).replace("$REAL", WRAPPER)
  return await report(["wrapper", await bed.script(name, body), ...TWO])
}

test.each([
  ["hangs", "sleep 98765", "did not end in time"],
  ["hangs and hears nothing", "trap '' TERM INT HUP; while :; do sleep 1; done", "did not end in time"],
  ["floods standard output", "exec cat /dev/zero", "more than 8 MiB to stdout"],
  ["floods standard error", "exec cat /dev/zero >&2", "more than 8 MiB to stderr"],
  ["dies", "kill -9 $$", "named no code"],
  ["answers HTML", "echo '<html>'; exit 0", "something else than a JSON object"],
  ["says a code of its own", "echo OVM_NONSENSE >&2; exit 1", "not a code of spec/errors.json"],
  [
    "ends with another status",
    "echo OVM_REFERENCE_INVALID >&2; exit 1",
    "that of OVM_REFERENCE_INVALID is 2",
  ],
  ["leaves a process behind", "sleep 98765 & exit 0", "left 1 processes behind"],
  [
    "leaves one in a session of its own",
    "setsid sleep 98765 >/dev/null 2>&1 & sleep 0.3; exit 0",
    "left 1 processes behind",
  ],
  [
    "writes too large a file",
    "head -c 70000000 /dev/zero >big || { echo OVM_INTERNAL >&2; exit 1; }",
    "OVM_INTERNAL",
  ],
])("one that %s fails that check", async (name, words, reason) => {
  const before = leftovers()
  const { status, results } = await misbehaving(name.replaceAll(" ", "-"), words)
  expect(results.map(({ verdict }) => verdict)).toEqual(["fail", "pass"])
  expect(results[0]?.reason).toContain(reason)
  expect(status).toBe(1)
  expect(leftovers()).toEqual(before)
})

/** Processes that a wrapper left, and folders that the suite did. */
function leftovers(): string[] {
  const sleeping = execFileSync("sh", ["-c", "ps -eo args | grep -c '^sleep 9876[5]' || true"]).toString()
  return [sleeping.trim(), ...readdirSync(tmpdir()).filter((name) => name.startsWith("ovms-conformance-"))]
}

test("what a runtime leaves that has ended is ended, also where its environment tells nothing", async () => {
  const before = leftovers()
  const body = 'cd "$OVMS_CONFORMANCE_HOME"; env -i setsid sleep 98765 >/dev/null 2>&1 & sleep 0.3; exit 3'
  const { status, stderr } = await conformance(["runtime", "--start", await bed.script("leaving", body)])
  expect(stderr).toContain("ended with status 3")
  expect(status).toBe(2)
  expect(leftovers()).toEqual(before)
})

test("one that does nothing of all that is asked has passed nothing", async () => {
  const idle = await report(["wrapper", await bed.script("idle", "exit 69"), ...TWO])
  expect(idle.results.map(({ verdict }) => verdict)).toEqual(["skip", "skip"])
  expect(idle.status).toBe(1)
})

test("one that accepts everything passes no document that is invalid", async () => {
  const yes = await report([
    "wrapper",
    await bed.script("yes", "exit 0"),
    "--only",
    "vector/invalid/manifest",
  ])
  expect(yes.results.length).toBeGreaterThan(100)
  expect(yes.results.filter(({ verdict }) => verdict !== "fail")).toEqual([])
})

test.each([
  [["wrapper"], "which PROGRAM"],
  [["wrapper", "/nowhere"], "/nowhere is not an executable file"],
  [["runtime"], "--socket PATH, or --start COMMAND"],
  [["runtime", "--start", "/bin/true"], "ended with status 0 as soon as it was started"],
  [["runtime", "--start", "/nowhere"], "status 127 as soon as it was started: /nowhere"],
  [["runtime", "--start", "/bin/sh -c 'echo no socket here >&2; exit 3'"], ": no socket here"],
  [["reader", "x"], 'no subject "reader"'],
  [["wrapper", WRAPPER, "--only", "nothing-has-this"], "no check has this"],
  [["wrapper", WRAPPER, "--profile", "all"], '"all" is none of core'],
  [["wrapper", WRAPPER, "--jobs", "0"], "not a number"],
  [["--nonsense"], "--nonsense"],
])("%p is wrong use: status 2, and nothing is tested", async (args, words) => {
  const { status, stdout, stderr } = await conformance(args)
  expect({ status, stdout }).toEqual({ status: 2, stdout: "" })
  expect(stderr).toContain(words)
  // Whose words are right is not told which there are.
  expect(stderr.includes("Usage:")).toBe(!/as soon as it was started|not an executable/.test(stderr))
})
