"""Variables of notifications, and what may stand in them: closing reads them, the compiler sets them."""

URL, ON, FORM = "TRUNKLINE_NOTIFY_URL", "TRUNKLINE_NOTIFY_ON", "TRUNKLINE_NOTIFY_FORM"
KINDS = ("failed", "promoted", "rejected", "drift")
FORMS = ("cloudevents", "slack")
