// All browser tests, in an order: each part finds the gallery as the one before it left it, the first finds it empty.
import "./accounts.js";
import "./uploading.js";
import "./browsing.js";
import "./photo.js";
import "./unfinished.js";
import "./keyboard.js";
import "./without-scripts.js";
import "./hostile.js";
import "./many.js";
import "./leaving.js";
import "./access.js";
