import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as add from "./index/add.ts"
import * as create from "./index/create.ts"
import * as inspect from "./index/inspect.ts"

export function define(command: Command): void {
  defineGroup(
    command,
    "One name for the same machine on several platforms: what is pulled or started by it is the machine for this " +
      "host, or for --platform.",
  )
  create.define(command.command("create").summary("Make an index of images, one for each platform"))
  add.define(command.command("add").summary("Put further images into an index"))
  inspect.define(command.command("inspect").summary("Show the machines of an index"))
  examples(
    command,
    "ovm index create debian:13 debian:13-amd64 debian:13-arm64",
    "ovm index inspect registry.example.com/machines/debian:13",
  )
}
