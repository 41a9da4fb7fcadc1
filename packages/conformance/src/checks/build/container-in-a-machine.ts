import { type Check, must, skip } from "../../check.ts"
import { Ext4 } from "../../disk/ext4.ts"
import { diskIn, imageOfLinux } from "../../foreign/of-linux.ts"
import type { Wrapper } from "../../subject/wrapper.ts"
import { bench } from "../import/stage.ts"
import { built, type Document, provenanceIn } from "./stage.ts"

// A build from a container image whose steps are done in a machine: the image is the Linux that the suite was given.

/** A machine that begins it ends while steps are done in it. */
const BEGUN = "echo begun >/begun; exit 3"
const CONFIG = { Entrypoint: ["/bin/sh", "-c", BEGUN], Env: ["PATH=/bin:/sbin:/usr/bin"], User: "7" }
const DOCKERFILE = `FROM base
USER 0
RUN [ ! -e /begun ] && grep -q ovm.main=off /proc/cmdline && echo done >/made
USER 7
ENV WHO=me
CMD ["of the suite", ""]
`
const MAIN = [
  "exec",
  "argument=/bin/sh",
  "argument=-c",
  `argument=${BEGUN}`,
  "argument=of the suite",
  "argument=",
  `variable=${CONFIG.Env[0]}`,
  "variable=WHO=me",
  "user=7",
  "directory=/",
]

export const containerInAMachine: readonly Check<Wrapper>[] = [
  {
    ...bench("build/of-a-container-in-a-machine", ["OVMS-BLD-042", "OVMS-BLD-043"], async (bench) => {
      const linux = bench.wrapper.linux ?? skip("the suite was given no machine with Linux: see --linux")
      const { image, boot } = await imageOfLinux(linux, bench.folder, CONFIG)
      const { manifest, layout } = await built(bench, DOCKERFILE, { base: image, boot })
      must(
        !/\bovm\.main=off\b/.test(manifest.kernel.args),
        "the machine that is built is told to begin nothing",
      )
      const refs: readonly string[] = manifest.diskLayers.map(({ ref }: Document) => ref)
      must(
        refs.length === 3,
        `it has ${refs.length} layers, and not the image's, the step's and the last one`,
      )
      const files = new Ext4(await diskIn(layout))
      must(`${files.at("/made").content()}` === "done\n", "what the step has made is not in the machine")
      must(!files.find("/begun"), "what the image says was begun while steps were done")
      const main = files.at("/etc/ovm/main").content().toString()
      must(main === MAIN.map((text) => `${text}\0`).join(""), `/etc/ovm/main is ${JSON.stringify(main)}`)
      const { said } = await provenanceIn(bench)
      const last = said.buildDefinition.internalParameters.steps.at(-1)
      must(last?.layer === refs[2], "the last step is not the one that wrote /etc/ovm/main")
    }),
    profile: "agent",
    slow: true,
  },
]
