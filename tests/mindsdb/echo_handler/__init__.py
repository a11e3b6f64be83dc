"""Another ML engine beside ours: it answers with the text itself, and fails where it is told to."""

from .echo import Echo

Handler = Echo
name = "echo"
title = "Echo"
description = "answers with the text itself"
version = "1"
type = "ml"
permanent = False
import_error = None
