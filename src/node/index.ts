/**
 * What a client needs of Node: the profile files of the official clients.
 *
 * @since 0.1.0
 */
export * as ProfileFile from "./ProfileFile.js"
