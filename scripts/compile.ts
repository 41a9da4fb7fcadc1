// Compiles the program into the one file that the first argument names (scripts/build.sh).
import { rm } from "node:fs/promises"

const [outfile = "dist/ovm"] = process.argv.slice(2)

/**
 * Commander loads two heavy modules of Node for things that ovm does not do, or that the runtime does natively: commands in
 * files of their own, and measuring coloured help. Together they cost each command two milliseconds.
 */
const LIGHTER: Readonly<Record<string, string>> = {
  "import childProcess from 'node:child_process';": "const childProcess = {}",
  "import { stripVTControlCharacters } from 'node:util';":
    "const stripVTControlCharacters = (text) => Bun.stripANSI(text)",
}

const lighterCommander: Bun.BunPlugin = {
  name: "lighter-commander",
  setup(build) {
    // Not onResolve, which is not asked for the runtime's own modules.
    build.onLoad({ filter: /\/node_modules\/commander\/lib\/(command|help)\.js$/ }, async ({ path }) => {
      let contents = await Bun.file(path).text()
      for (const [heavy, light] of Object.entries(LIGHTER)) contents = contents.replace(heavy, light)
      if (/node:(child_process|util)/.test(contents))
        throw new Error(`${path} is not the commander that is known here`)
      return { contents, loader: "js" }
    })
  },
}

/**
 * CycloneDX's library asks for these when it is loaded and does without them: they read and write XML and judge documents. Left
 * out here, since a compiled program must not find any in the folder that it is started in.
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
  plugins: [lighterCommander, leanCycloneDx],
  compile: {
    outfile,
    // Compiling hot code forty times later than usual saves a short command 3 ms and the daemon 10 MiB, and costs nothing:
    // hashing and copying are native.
    jitPolicy: 40,
    // A compiled program would otherwise take settings, and code, from files in whatever folder it is started in.
    autoloadDotenv: false,
    autoloadBunfig: false,
    autoloadTsconfig: false,
    autoloadPackageJson: false,
  },
})
