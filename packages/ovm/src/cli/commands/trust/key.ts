import type { Command } from "commander"
import { defineGroup } from "../../command-group.ts"
import { examples } from "../../terminal/examples.ts"
import * as generate from "./key/generate.ts"
import * as publicHalf from "./key/public.ts"

export function define(command: Command): void {
  defineGroup(command, "Make keys that sign, in the files that Cosign reads, and show their public half.")
  generate.define(command.command("generate").summary("Make a key pair"))
  publicHalf.define(command.command("public").summary("Print the public half of a key"))
  examples(command, "ovm key generate", "ovm key public --key plugin:pkcs11/token1 > token1.pub")
}
