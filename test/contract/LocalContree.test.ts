import * as Contree from "../fixtures/Contree.js"
import { contract } from "./suite.js"

contract("LocalContree", Contree.local)
