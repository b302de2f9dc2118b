"""Message push from WeChat to the business API, through the unmodified app and the engines."""
