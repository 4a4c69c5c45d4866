// One round of the unmodified frappe-js-sdk. Prints what every call gave, as JSON.
//
// node round.mjs <url> <token|Bearer> <token of a user with all permissions> <of one who may view>

import sdk from "frappe-js-sdk";

const [url, tokenType, token, viewersToken] = process.argv.slice(2);

const appWith = (credential) =>
  new sdk.FrappeApp(url, { useToken: true, token: () => credential, type: tokenType });

const failure = async (promise) => {
  try {
    return { unexpected: await promise };
  } catch ({ httpStatus, exc_type, exception }) {
    return { httpStatus, exc_type, exception };
  }
};

const app = appWith(token);
const db = app.db();
const said = {};

said.user = await app.auth().getLoggedInUser();
said.created = await db.createDoc("ToDo", { description: "Water", priority: "High" });
await db.createDoc("ToDo", { description: "Weed", priority: "High" });
await db.createDoc("ToDo", { description: "Wait", priority: "Low" });
said.document = await db.getDoc("ToDo", said.created.name);
said.names = await db.getDocList("ToDo");
said.list = await db.getDocList("ToDo", {
  fields: ["description", "priority"],
  filters: [["description", "like", "W%"], ["priority", "in", ["High", "Medium"]]],
  orderBy: { field: "description", order: "desc" },
  limit: 1,
});
said.next = await db.getDocList("ToDo", {
  fields: ["description"],
  orderBy: { field: "description", order: "desc" },
  limit_start: 1,
  limit: 5,
  asDict: false,
});
said.either = await db.getDocList("ToDo", {
  fields: ["description"],
  orFilters: [["description", "=", "Weed"], ["priority", "=", "Low"]],
  orderBy: { field: "description" },
});
said.updated = await db.updateDoc("ToDo", said.created.name, { status: "Closed" });
said.count = await db.getCount("ToDo");
said.open = await db.getCount("ToDo", [["status", "=", "Open"]]);
said.last = await db.getLastDoc("ToDo", { filters: [["description", "=", "Wait"]] });
said.value = await db.getValue("ToDo", ["status", "owner"], [["name", "=", said.created.name]]);
said.set = await db.setValue("ToDo", said.created.name, "priority", "Low");
said.setSeveral = await db.setValue("ToDo", said.created.name, { status: "Open" });
said.called = await app.call().get("frappe.auth.get_logged_user");
said.deleted = await db.deleteDoc("ToDo", said.created.name);

said.missing = await failure(db.getDoc("ToDo", said.created.name));
said.invalid = await failure(db.createDoc("ToDo", { description: "" }));
said.wrongSecret = await failure(appWith(`${token}x`).auth().getLoggedInUser());
const viewers = appWith(viewersToken).db();
said.viewed = (await viewers.getDocList("ToDo")).length;
said.missingPermission = await failure(viewers.createDoc("ToDo", { description: "Walk" }));
said.noDocType = await failure(db.getDocList("Note"));
await app.auth().logout();

console.log(JSON.stringify(said));
