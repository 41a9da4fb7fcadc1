// Compiles the program into the one file that the first argument names (scripts/build.sh): twice, so that what its
// short commands use of it is together, where it is read at once (profile-guided bytecode layout of Bun).
import { execFileSync } from "node:child_process"
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join, resolve } from "node:path"

const [outfile = "dist/ovm"] = process.argv.slice(2)

/**
 * CycloneDX's library asks for these when it is loaded and does without them: they read and write XML and judge
 * documents. Left out here, since a compiled program must not find any in the folder that it is started in.
 */
const leanCycloneDx: Bun.BunPlugin = {
  name: "lean-cyclonedx",
  setup(build) {
    const optional = /^(ajv|ajv-formats|ajv-formats-draft2019|libxmljs2|xmlbuilder2|spdx-expression-parse)$/
    build.onResolve({ filter: optional }, ({ path, importer }) =>
      /\/node_modules\/@cyclonedx\//.test(importer) ? { path, namespace: "left-out" } : undefined,
    )
    build.onLoad({ filter: /.*/, namespace: "left-out" }, ({ path }) => ({
      contents: `throw new Error("${path} is left out")`,
      loader: "js",
    }))
  },
}

async function compile(bytecodeOrder: string[] | null): Promise<void> {
  await rm(outfile, { force: true })
  await Bun.build({
    // The others are threads of their own (host/worker.ts).
    entrypoints: [
      "cli/main.ts",
      "content/hash-worker.ts",
      "ram/worker.ts",
      "registry/transfer/direct/thread.ts",
    ].map((path) => `packages/ovm/src/${path}`),
    // Splitting halves the start: a command loads no code but its own.
    splitting: true,
    format: "esm",
    minify: true,
    bytecode: true,
    sourcemap: "none",
    plugins: [leanCycloneDx],
    compile: {
      outfile,
      bytecodeOrder,
      // Compiling hot code forty times later than usual saves a short command 3 ms and the daemon 10 MiB, and costs
      // nothing: hashing and copying are native.
      jitPolicy: 40,
      // A compiled program would otherwise take settings, and code, from files in whatever folder it is started in.
      autoloadDotenv: false,
      autoloadBunfig: false,
      autoloadTsconfig: false,
      autoloadPackageJson: false,
    },
  })
}

/** What was used of the program by two commands, of a machine with an empty disk: a file each in `folder`. */
async function used(folder: string): Promise<string[]> {
  const disk = join(folder, "disk")
  await writeFile(disk, new Uint8Array(1 << 20))
  const run = (args: readonly string[], env: NodeJS.ProcessEnv = {}) =>
    execFileSync(resolve(outfile), args, { env: { PATH: process.env.PATH, OVM_HOME: folder, ...env } })
  run(["pack", "--layer", disk, "--format", "raw", "--memory", "64MiB", "--tag", "used:1"])
  return [["inspect", "used:1"], ["images"]].map((args) => {
    const order = join(folder, `${args[0]}.order`)
    run(args, { BUN_BYTECODE_ORDER_OUT: order })
    return order
  })
}

await compile(null)
const folder = await mkdtemp(join(tmpdir(), "ovm-compile-"))
try {
  await compile(await used(folder))
} finally {
  await rm(folder, { recursive: true })
}
