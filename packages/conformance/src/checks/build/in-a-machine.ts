import { chmod } from "node:fs/promises"
import { join } from "node:path"
import { type Check, must, skip } from "../../check.ts"
import { ARCHIVES, OUT_BY_A_LINK, WITH_A_PIPE } from "../../foreign/archives.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { type Bench, bench } from "../import/stage.ts"
import { type BuildOptions, built, refusesBuildWith } from "./stage.ts"
import { contextIn, FILES, layersOn, writtenDown } from "./steps.ts"

// Builds whose steps are done in a machine: the Linux that the suite was given.

/** What is copied is there as it should be, or the step fails. */
const AS_IT_SHOULD_BE = [
  `[ "$(readlink /suite/link)" = file ]`,
  `[ "$(stat -c %a:%u:%g /suite/file)" = 640:0:0 ]`,
  `[ "$(stat -c %a:%u:%g /suite/folder)" = 750:0:0 ]`,
  "[ ! -e /suite/left-out ]",
  ...Object.keys(ARCHIVES).map((name) => `[ "$(cat /suite/of-${name})" = "by ${name}" ]`),
  `[ "$(stat -c %a /suite/of-tar)" = 640 ]`,
  `[ "$(stat -c %a:%u:%g /suite/mine)" = 755:7:8 ]`,
  `[ "$WORD" = "of the build" ]`,
  "echo done >/suite/done",
].join(" && ")

const COPIES = "FROM base\nCOPY copied /suite/\n"
const DOCKERFILE = `FROM base AS parts
COPY copied /suite/
ADD ${Object.keys(ARCHIVES)
  .map((name) => `packed-by-${name}`)
  .join(" ")} /suite/
FROM parts
USER 7:8
WORKDIR /suite/mine
USER 0
ARG WORD
RUN ${AS_IT_SHOULD_BE}
`

/** Fails unless the build ends by a step that fails, which names these numbers, and nothing comes of it. */
async function fails(
  bench: Bench,
  dockerfile: string,
  options: BuildOptions,
  numbers: readonly number[],
): Promise<void> {
  const said = await refusesBuildWith(bench, "OVM_BUILD_FAILED", dockerfile, options)
  for (const number of numbers)
    must(new RegExp(`\\b${number}\\b`).test(said), `it does not name ${number}: ${said.slice(-300)}`)
}

export const inAMachine: readonly Check<Wrapper>[] = [
  {
    ...bench(
      "build/in-a-machine",
      ["BLD-014", "BLD-016", "BLD-017", "BLD-020", "BLD-045", "BLD-047", "BLD-052", "BLD-053"].map(
        (id) => `OVMS-${id}`,
      ),
      async (bench) => {
        const base = bench.wrapper.linux ?? skip("the suite was given no machine with Linux: see --linux")
        await contextIn(bench)
        const made = await built(bench, DOCKERFILE, { base, files: FILES, args: ["WORD=of the build"] })
        const steps = [
          ["parts", 2],
          ["parts", 3],
          [undefined, 6],
          [undefined, 9],
        ] as const
        await writtenDown(bench, await layersOn(base, made, steps.length), steps)
        // What was kept of steps is of another mode, and then of another content.
        await chmod(join(bench.folder, "context/copied/file"), 0o604)
        const mode = `${COPIES}RUN [ "$(stat -c %a /suite/file)" = 604 ] && exit 77\n`
        await fails(bench, mode, { base, files: FILES }, [3, 77])
        const changed = { ...FILES, "copied/file": "changed\n", hostile: OUT_BY_A_LINK, pipe: WITH_A_PIPE }
        const content = `${COPIES}RUN [ "$(cat /suite/file)" = changed ]\nADD`
        await fails(bench, `${content} hostile /suite/\n`, { base, files: changed }, [4])
        await fails(bench, `${content} pipe /suite/\n`, { base, files: changed }, [4])
      },
    ),
    profile: "agent",
    slow: true,
  },
]
