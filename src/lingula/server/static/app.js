// Starts what the page has.
import { wake } from "./api.js";
import * as cases from "./case.js";
import * as evidence from "./evidence.js";
import * as library from "./library.js";
import * as node from "./node.js";
import * as practice from "./practice.js";
import * as region from "./region.js";
import * as search from "./search.js";
import * as upload from "./upload.js";
import * as viewer from "./viewer.js";
import * as why from "./why.js";

for (const part of [viewer, evidence, cases, library, node, practice, region, search, upload, why]) part.start();
wake();
document.documentElement.dataset.started = "";
