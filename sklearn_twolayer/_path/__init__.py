"""The path along a schedule of weight decays."""
