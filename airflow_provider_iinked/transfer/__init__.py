"""Fetching one recording: its source, its bytes, their digest; resumable and in constant memory."""
