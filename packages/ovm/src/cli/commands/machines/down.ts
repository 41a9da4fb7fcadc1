import type { Command } from "commander"
import { type Belonging, belongings, deleteAll } from "../../compose/belongings.ts"
import { bringDown } from "../../compose/down.ts"
import { membersOf } from "../../compose/labels.ts"
import { defineProjectOptions, openProject, type ProjectOptions } from "../../compose/project-options.ts"
import { reporter } from "../../compose/report.ts"
import { useDaemon, useDaemonOfInstances } from "../../daemon.ts"
import { forEach } from "../../failure.ts"
import { printJson } from "../../output.ts"
import { defineTime } from "../../stop.ts"
import { examples } from "../../terminal/examples.ts"

interface DownOptions extends ProjectOptions {
  readonly volumes?: boolean
  readonly time?: number
  readonly json?: boolean
}

export function define(command: Command): void {
  command.description(
    "Stop and remove the machines of a project, the last one first, with their consoles and the disks that they wrote " +
      "to, and the networks of the file. Volumes are kept unless --volumes says otherwise. With --project-name no file " +
      "is needed, and networks are kept.",
  )
  defineTime(defineProjectOptions(command))
    .option(
      "--volumes",
      "delete the volumes of the file, too, with all that they hold; external ones are kept",
    )
    .option("--json", "print JSON")
    .action(run)
  examples(command, "ovm down", "ovm down --volumes", "ovm down -p staging")
}

async function run(options: DownOptions): Promise<void> {
  const { volumes: withVolumes, time: seconds } = options
  const named = options.projectName !== undefined && options.file === undefined && !withVolumes
  const file = named ? undefined : await openProject(options)
  const project = file?.name ?? options.projectName ?? ""
  const runtime = await useDaemonOfInstances()
  const members = await membersOf(runtime, project)
  const tell = reporter([...members.keys()], options)
  const failures = new Map(runtime ? await bringDown(runtime, members, { tell, seconds, remove: true }) : [])
  const removed = async (kind: Belonging) => {
    const names = file && failures.size === 0 ? belongings(file, kind) : []
    return names.length === 0 ? [] : deleteAll(await useDaemon(), { kind, names }, { tell, failures })
  }
  const networks = await removed("network")
  const volumes = withVolumes ? await removed("volume") : []
  if (options.json) {
    const machines = [...members.values()].filter(({ machine }) => !failures.has(machine))
    const gone = machines.map(({ machine, info: { instance_id, name } }) => ({
      machine,
      instance_id,
      name,
    }))
    printJson({ project, machines: gone, networks, volumes })
  }
  await forEach(
    [...failures.keys()],
    async (name) => {
      throw failures.get(name)
    },
    options,
  )
}
