import { expect, setDefaultTimeout, test } from "bun:test"
import { join } from "node:path"
import { machineMissing, UNPACKED } from "@ovms/testkit/machines.ts"
import type { Run } from "../src/result.ts"
import { Bed, report, WRAPPER } from "./bed.ts"

// Lane: first, 9 min. All of the suite.
// Each check has a bound of its own, and how many there are at a time is the host's.
setDefaultTimeout(1_800_000)

// OVMS-CNF-010 to OVMS-CNF-014, OVMS-CNF-030: the reference implementation.

function bad({ results }: Run): string[] {
  const wrong = results.filter(({ verdict }) => verdict === "fail" || verdict === "error")
  return wrong.map(({ name, reason }) => `${name}: ${reason}`)
}

function skips({ results }: Run): string[] {
  const reasons = results.filter(({ verdict }) => verdict === "skip").map(({ reason }) => reason ?? "")
  return [...new Set(reasons)].sort()
}

/** What a host need not have. */
const OF_THE_HOST = [
  "this host has no /dev/kvm that could be another",
  "nobody may choose the number of a process on this host",
  "others were given the number each time",
  "this host is too slow to start a machine within that time",
  "bounds no machine on this host",
  "in no control group that the suite can see",
  "has no UEFI firmware on this host",
  "no file system of its own can be mounted",
  "was given no machine with Linux",
  "has no vsock device on this host",
  "this host lets the suite make no",
  "makes no networks on a host of the suite's own",
  "this host has no setpriv",
  "has no TPM for machines on this host",
  "no machine could be stopped before it had booted",
  "offers no share by virtiofs on this host",
]

/** What Firecracker's page has of it (spec/runtimes/firecracker.md). */
const OF_FIRECRACKER = [
  "firecracker has no ",
  "firmware of this runtime's VMM finds no kernel",
  "takes no snapshot of a machine that can write to a further disk",
]

async function linuxIn(bed: Bed): Promise<readonly string[]> {
  return (await machineMissing()) ? [] : ["--linux", await bed.packed(UNPACKED)]
}

test("ovm as a reader and writer passes everything", async () => {
  await using bed = await Bed.create()
  const run = await report(["wrapper", WRAPPER, ...(await linuxIn(bed))])
  expect(bad(run)).toEqual([])
  expect(run.status).toBe(0)
  expect(skips(run).filter((reason) => !OF_THE_HOST.some((words) => reason.includes(words)))).toEqual([])
  expect(run.results.length).toBeGreaterThan(600)
})

test("ovm as a runtime passes everything", async () => {
  await using bed = await Bed.create()
  const start = ["--start", join(WRAPPER, "../ovm-runtime")]
  const run = await report(["runtime", ...start, "--wrapper", WRAPPER, ...(await linuxIn(bed))])
  expect(bad(run)).toEqual([])
  expect(run.status).toBe(0)
  expect(skips(run).filter((reason) => !OF_THE_HOST.some((words) => reason.includes(words)))).toEqual([])
  expect(run.results.length).toBeGreaterThan(200)
})

const noFirecracker = Bun.which("firecracker") ? "" : "(skipped: firecracker is not on PATH)"

// OVMS-CNF-058: without a Linux, which no KVM need run that is emulated itself.
test.skipIf(noFirecracker !== "")(
  `ovm as a runtime with Firecracker alone passes what that has ${noFirecracker}`,
  async () => {
    process.env.VMM = "firecracker"
    try {
      const start = ["--start", join(WRAPPER, "../ovm-runtime")]
      const run = await report(["runtime", ...start, "--wrapper", WRAPPER])
      expect(bad(run)).toEqual([])
      expect(run.status).toBe(0)
      const left = skips(run).filter((reason) => !OF_THE_HOST.some((words) => reason.includes(words)))
      expect(left.filter((reason) => !OF_FIRECRACKER.some((words) => reason.includes(words)))).toEqual([])
      expect(run.results.filter(({ verdict }) => verdict === "pass").length).toBeGreaterThan(400)
    } finally {
      delete process.env.VMM
    }
  },
)

test("ovm's agent passes everything", async () => {
  const run = await report(["agent", join(WRAPPER, "../ovm-agent")])
  expect(bad(run)).toEqual([])
  expect(run.status).toBe(0)
  expect(skips(run)).toEqual([])
  expect(run.results.length).toBeGreaterThan(15)
})
