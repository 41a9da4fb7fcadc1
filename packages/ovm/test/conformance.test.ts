import { describe, expect, test } from "bun:test"
import { spawn } from "node:child_process"
import { existsSync } from "node:fs"
import { mkdtemp, readFile, rm } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { startRegistry } from "../src/registry-server/run.ts"

// The official conformance program of the distribution-spec against the embedded registry.

const PEERS = process.env.OVM_PEERS ?? fileURLToPath(new URL("../../../.cache/peers", import.meta.url))
const PROGRAM = join(PEERS, "bin", "oci-conformance")

const missing = !existsSync(PROGRAM)
if (missing)
  console.warn(`skipped: the distribution-spec's conformance program is not at ${PROGRAM} (make peers)`)

interface Results {
  readonly apis: Record<string, string>
  readonly data: Record<string, string>
  /** Of the JUnit report. */
  readonly counts: { readonly tests: number; readonly failures: number; readonly errors: number }
  readonly output: string
}

async function conform(version: string): Promise<Results> {
  const folder = await mkdtemp(join(tmpdir(), "ovm-conformance-"))
  try {
    await using server = await startRegistry({
      hostname: "127.0.0.1",
      port: 0,
      source: { root: join(folder, "registry"), readOnly: false },
      log: (error) => console.error(error),
    })
    const output = await run(folder, {
      OCI_REGISTRY: server.address,
      OCI_TLS: "disabled",
      OCI_REPO1: "conformance/one",
      OCI_REPO2: "conformance/two",
      OCI_VERSION: version,
      OCI_RESULTS_DIR: join(folder, "results"),
    })
    // Its own status is 0 as well when it could not begin; only the reports tell.
    const results = Bun.YAML.parse(await readFile(join(folder, "results/results.yaml"), "utf8")) as Results
    const junit = await readFile(join(folder, "results/junit.xml"), "utf8")
    const count = (name: string) =>
      Number(new RegExp(`<testsuite [^>]* ${name}="(\\d+)"`).exec(junit)?.[1] ?? Number.NaN)
    const counts = { tests: count("tests"), failures: count("failures"), errors: count("errors") }
    return { apis: results.apis, data: results.data, counts, output }
  } finally {
    await rm(folder, { recursive: true, force: true })
  }
}

function run(cwd: string, env: Record<string, string>): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(PROGRAM, { cwd, env, stdio: ["ignore", "pipe", "pipe"] })
    let output = ""
    for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk) => (output += chunk))
    child.on("error", reject)
    child.on("close", () => resolve(output))
  })
}

function categories({ apis, data }: Results, verdict: (status: string) => boolean): string[] {
  return [...Object.entries(apis), ...Object.entries(data)]
    .filter(([, status]) => verdict(status))
    .map(([name]) => name)
    .sort()
}

describe.skipIf(missing)("the embedded registry passes the distribution-spec's conformance program", () => {
  // What a version of the standard does not have; and manifests of which parts are missing, which the standard leaves
  // to registries, and which this one refuses by MANIFEST_BLOB_UNKNOWN.
  test.each([
    [
      "1.1",
      [
        "Blob upload cancel",
        "Manifest put with tag params",
        "Sparse Manifests",
        "Tag Param",
        "Tag Param sha512",
      ],
    ],
    ["1.1+dev", ["Sparse Manifests"]],
  ])(
    "of version %s, in all its categories",
    async (version, disabled) => {
      const results = await conform(version)
      const { counts, output } = results
      const failed = categories(results, (status) => status !== "Pass" && status !== "Disabled")
      expect({ failed, ...(failed.length > 0 && { output }) }).toEqual({ failed: [] })
      expect(categories(results, (status) => status === "Disabled")).toEqual(disabled)
      expect(counts).toMatchObject({ failures: 0, errors: 0 })
      expect(counts.tests).toBeGreaterThan(850)
    },
    60_000,
  )
})
