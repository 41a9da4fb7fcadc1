// Bundles packages/conformance/dist/ovms-conformance.js, one file for Node and Bun with the vectors inside
// (scripts/build-conformance.sh).
import { chmod, writeFile } from "node:fs/promises"
import { join } from "node:path"
import { vectorFiles } from "../packages/conformance/src/spec-files.ts"

const PACKAGE = join(import.meta.dirname, "../packages/conformance")

/** In place of the module that reads them from the folder of the specification. */
const embeddedVectors: Bun.BunPlugin = {
  name: "embedded-vectors",
  setup(build) {
    build.onLoad({ filter: /\/conformance\/src\/spec-files\.ts$/ }, async () => {
      const files = Object.entries(await vectorFiles())
      const compact = Object.fromEntries(
        files.map(([name, text]) => [name, JSON.stringify(JSON.parse(text))]),
      )
      return { contents: `export const vectorFiles = async () => (${JSON.stringify(compact)})`, loader: "js" }
    })
  },
}

const { outputs } = await Bun.build({
  entrypoints: [join(PACKAGE, "src/main.ts")],
  target: "node",
  format: "esm",
  plugins: [embeddedVectors],
})
const file = join(PACKAGE, "dist/ovms-conformance.js")
await writeFile(file, `#!/usr/bin/env node\n${await outputs[0]?.text()}`)
await chmod(file, 0o755)
