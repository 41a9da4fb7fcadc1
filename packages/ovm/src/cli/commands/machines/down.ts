import type { Command } from "commander"
import { volumeName } from "../../../compose/project.ts"
import { OvmError } from "../../../errors.ts"
import { bringDown } from "../../compose/down.ts"
import { membersOf } from "../../compose/labels.ts"
import {
  defineProjectOptions,
  openProject,
  type ProjectOptions,
  projectName,
} from "../../compose/project-options.ts"
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
      "to. Volumes are kept unless --volumes says otherwise. With --project-name no file is needed.",
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
  const volumes = withVolumes ? await ownVolumes(options) : []
  const project = await projectName(options)
  const runtime = await useDaemonOfInstances()
  const members = await membersOf(runtime, project)
  const tell = reporter([...members.keys()], options)
  const failures = new Map(runtime ? await bringDown(runtime, members, { tell, seconds, remove: true }) : [])
  const deleted: string[] = []
  for (const name of failures.size > 0 ? [] : volumes)
    try {
      await (await useDaemon()).removeVolume(name)
      deleted.push(name)
      tell(name, "volume deleted")
    } catch (thrown) {
      if (!(thrown instanceof OvmError && thrown.code === "OVM_VOLUME_UNKNOWN")) failures.set(name, thrown)
    }
  if (options.json) {
    const machines = [...members.values()].filter(({ machine }) => !failures.has(machine))
    const removed = machines.map(({ machine, info: { instance_id, name } }) => ({
      machine,
      instance_id,
      name,
    }))
    printJson({ project, machines: removed, volumes: deleted })
  }
  await forEach(
    [...failures.keys()],
    async (name) => {
      throw failures.get(name)
    },
    options,
  )
}

async function ownVolumes(options: DownOptions): Promise<readonly string[]> {
  const { name: project, volumes } = await openProject(options)
  return Object.entries(volumes).flatMap(([key, entry]) =>
    entry.external ? [] : [volumeName(project, key, entry)],
  )
}
