import * as Contree from "../fixtures/Contree.js"
import { contract } from "./suite.js"

contract("effect-contree serve over HTTP", Contree.served)
