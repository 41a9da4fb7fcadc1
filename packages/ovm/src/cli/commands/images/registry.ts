import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as probe from "./registry/probe.ts"
import * as serve from "./registry/serve.ts"

export function define(command: Command): void {
  defineGroup(command, "Serve a registry from this host, or find out what another one can do.")
  serve.define(command.command("serve").summary("Serve a registry, or this host's images, over HTTP"))
  probe.define(command.command("probe").summary("Find out what a registry can do"))
  examples(
    command,
    "ovm registry serve",
    "ovm registry probe registry.example.com/scratch/probe",
    "ovm registry serve --help",
  )
}
