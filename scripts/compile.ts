// Compiles the program into the one file that the first argument names (scripts/build.sh).
import { rm } from "node:fs/promises"

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
