/** Its path, in the compiled program too (scripts/static.sh makes it). */
declare module "*/shim/dist/ovm-keeper" {
  const path: string
  export default path
}
