import { gzipSync } from "node:zlib"
import { archiveOf, type TarEntry } from "./tar.ts"

// Archives as other programs pack them, each with one file that is called after that, of user 7 and group 8.

const OF_BZIP2 =
  "QlpoOTFBWSZTWa53ICQAADjbkPmQQAJ9hAAQcQCeMAQAABggAFRn6kyYmTJkGIejUGRT0hpoGRo0APgjviHuAIakVrRYK4EIDavdGxjK" +
  "TE2ICZqZoCp6XyRtRfXeYLFpEZGeDDwPxdyRThQkK53ICQA="
const OF_XZ =
  "/Td6WFoAAAFpIt42AgAhARwAAAAQz1jM4Af/AEldADeZgaYaS31siABlAolN0Z1r/gQ4+okmqwAr7VBe/uqGiBKSayGSYHM2e7JcR9Hy" +
  "A9LlXmyZilIWVqHvQx0KijxBXOKt0XpXz+AAAAAAYOOZeQABYYAQAAAAL+8C4T4wDYsCAAAAAAFZWg=="
const OF_ZSTD =
  "KLUv/WAAB00CANJCChGgqwNG62bsUFW+f36qX31QBgUuY4Dqflty+XooMeRxH+heznUZxWIBDSBguQ71/UyChgWGS9IBJwcs7gEuPux6" +
  "AaGTMQI="

const fileOf = (name: string): TarEntry[] => [
  { name: `of-${name}`, content: `by ${name}\n`, mode: 0o640, uid: 7, gid: 8 },
]

/** By the last name of the file that is in each; how it is packed is not in its own name. */
export const ARCHIVES: Readonly<Record<string, Buffer>> = {
  tar: archiveOf(fileOf("tar")),
  gz: gzipSync(archiveOf(fileOf("gz"))),
  bz2: Buffer.from(OF_BZIP2, "base64"),
  xz: Buffer.from(OF_XZ, "base64"),
  zst: Buffer.from(OF_ZSTD, "base64"),
}

/** Ones that must not be unpacked: into where a link leads, and what is neither file, folder nor link. */
export const OUT_BY_A_LINK = archiveOf([
  { name: "up", type: "2", link: "/etc" },
  { name: "up/suite-hostile", content: "of the archive\n" },
])
export const WITH_A_PIPE = archiveOf([{ name: "pipe", type: "6" }])
