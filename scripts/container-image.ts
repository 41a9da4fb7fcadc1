// An OCI layout of one layer: `container-image.ts FOLDER LAYER.tar CONFIG.json`. What is in CONFIG.json is image-spec's
// `config`.
import { readFileSync } from "node:fs"
import { writeContainer } from "../packages/testkit/src/container.ts"

const [, , folder = "", layer = "", config = ""] = process.argv
const digest = await writeContainer(
  folder,
  [{ tar: readFileSync(layer) }],
  JSON.parse(readFileSync(config, "utf8")),
)
console.log(digest)
