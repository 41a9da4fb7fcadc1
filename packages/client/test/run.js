// Runs the one case that it is told: `node run.js NAME`, `bun run.js NAME`.
import { cases } from "./cases.js"

await cases[process.argv[2]]()
console.log("ok")
