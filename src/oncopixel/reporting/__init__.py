"""What people see: figures, the report, and what a pull request changes.

Tables and metrics in; pictures and pages out.
"""
