"""Labels of an arm over a table: are they true, and does a policy that learns from them listen?"""
