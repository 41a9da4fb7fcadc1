import { resolve } from "node:path"
import type { Command } from "commander"
import type { Project } from "../../compose/project.ts"
import { FILE_LIMIT, findFile, readProject } from "../../compose/read.ts"
import { readArgument } from "../argument-file.ts"

export interface ProjectOptions {
  readonly file?: string
  readonly projectName?: string
}

/** `flag` is what the file is named by: -f means something else to some commands. */
export function defineProjectOptions(command: Command, flag = "-f, --file"): Command {
  return command
    .option(`${flag} <file>`, "the file of machines; machines.yaml in this folder unless told")
    .option(
      "-p, --project-name <name>",
      "what the project is called; unless told as the file says, or its folder",
    )
}

/** The project that the options mean. Throws OVM_COMPOSE_INVALID, OVM_FILE_UNREADABLE, OVM_TOO_LARGE. */
export async function openProject({ file, projectName: name }: ProjectOptions): Promise<Project> {
  const path = file ?? findFile(process.cwd())
  const bytes = await readArgument(file === "-" ? "/dev/stdin" : path, FILE_LIMIT)
  const shown = file === "-" ? resolve("standard input") : path
  return await readProject(shown, bytes, { ...(name !== undefined && { name }), environment: process.env })
}

/** Its name alone: where that is given no file is needed. */
export async function projectName(options: ProjectOptions): Promise<string> {
  return options.projectName ?? (await openProject(options)).name
}
